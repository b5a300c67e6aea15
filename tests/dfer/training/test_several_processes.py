"""Two processes, as torchrun starts them, train what one trains with the joint batch; one of them killed ends both."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dfer.data.clips import ClipsOnDisk
from dfer.data.lists import read_lists
from dfer.data.packing import open_place
from dfer.errors import BadInput
from dfer.training.device import Processes, check_processes
from helpers.prepared import EvaluationClips
from helpers.tiny_runs import TinyNet, tiny_flags, write_coloured_list
from helpers.train_processes import finished, start, start_together, wait_for

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 clips to train on, three held out, seven to test: the last batch of eight leaves one process none."""
    root = tmp_path_factory.mktemp("clips")
    write_coloured_list(root, "train", [i % 3 for i in range(28)], 1)
    write_coloured_list(root, "test", [i % 3 for i in range(7)], 2)
    return root


def flags(clips: Path, out: Path, *more: str, model: str, epochs: int = 2, recipe: str = "dfew") -> list[str]:
    return [*tiny_flags(clips, out, epochs=epochs, recipe=recipe), "--dropout", "0", "--model", model, *more]


def run_together(arguments: list[str], folder: Path) -> list[str]:
    files = [folder / f"printed {rank}" for rank in range(2)]
    processes = start_together(arguments, files)
    assert [finished(process) for process in processes] == [0, 0], [file.read_text() for file in files]
    return [file.read_text() for file in files]


@pytest.mark.parametrize("recipe", ["dfew", "daisee"])
def test_two_processes_match_one_with_the_joint_batch(clips: Path, tmp_path: Path, recipe: str) -> None:
    """Gradients and losses, to a relative error of 1e-5 in float32: sums are taken in another order, nothing else."""
    one, two = tmp_path / "one", tmp_path / "two"
    larger = ("--learning-rate", "0.1", "--weight-decay", "0")
    alone = start(flags(clips, one, *larger, model="tiny-frozen-norm", recipe=recipe), tmp_path / "printed")
    printed = run_together(flags(clips, two, *larger, model="tiny-frozen-norm", recipe=recipe), tmp_path)
    assert finished(alone) == 0, (tmp_path / "printed").read_text()
    reports = [json.loads((out / "metrics.json").read_text()) for out in (one, two)]
    for first, second in zip(*(report["history"] for report in reports), strict=True):
        for name in first.keys() - {"seconds"}:
            assert second[name] == pytest.approx(first[name], rel=1e-5)
    assert reports[0]["confusion"] == reports[1]["confusion"]
    assert sum(map(sum, reports[1]["confusion"])) == 7
    ends = [torch.load(out / "last.ckpt", weights_only=True) for out in (one, two)]
    torch.testing.assert_close(ends[1]["state_dict"], ends[0]["state_dict"], rtol=1e-5, atol=1e-7)
    # The momentum of SGD is a sum of gradients.
    first, second = (end["optimizer_states"][0]["state"] for end in ends)
    assert first.keys() == second.keys()
    for key in first:
        gradient = first[key]["momentum_buffer"]
        scale = float(gradient.abs().max())
        assert scale > 1e-4
        torch.testing.assert_close(second[key]["momentum_buffer"], gradient, rtol=1e-5, atol=1e-5 * scale)
    assert "float32, channels_last, 2 processes" in printed[0]
    assert printed[1] == "", "the first process alone speaks"
    assert json.loads((two / "settings.json").read_text())["device"].endswith("2 processes")
    assert not [file.name for file in two.iterdir() if file.name.startswith(".") and file.name != ".lock"]


def test_saved_weights_give_the_saved_scores_with_batch_norm(clips: Path, tmp_path: Path) -> None:
    """Each process normalises by its own share; the running statistics of the first are those of all in a test."""
    run_together(flags(clips, tmp_path / "out", model="tiny"), tmp_path)
    net = TinyNet(3, 0.0).eval()
    net.load_state_dict(load_file(tmp_path / "out" / "weights.safetensors"))
    listed = read_lists([(clips / "test.txt", open_place(clips))]).test
    confusion = torch.zeros(3, 3, dtype=torch.int64)
    test = EvaluationClips(ClipsOnDisk(listed, size=16, segments=1, per_segment=2))
    with torch.no_grad():
        for i in range(len(test)):
            clip, label = test[i]
            confusion[label, net(clip[None]).argmax()] += 1
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["confusion"] == confusion.tolist()


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_process_ends_the_other_and_the_run_can_resume(clips: Path, tmp_path: Path, killed: int) -> None:
    """Without torchrun, which would end the other too; within seconds, not the minutes of a time limit."""
    out, files = tmp_path / "out", [tmp_path / "printed 0", tmp_path / "printed 1"]
    processes = start_together(flags(clips, out, model="tiny", epochs=5000), files)
    wait_for((out / "last.ckpt").exists, processes[0])
    processes[killed].kill()
    began = time.monotonic()
    other = processes[1 - killed]
    assert finished(other) == 1
    assert time.monotonic() - began < 30
    said = files[1 - killed].read_text().splitlines()[-1]
    assert said == (
        f"train.py: process {1 - killed}: another process of the run has ended or cannot be reached; "
        "run the same command with --resume to continue"
    )
    done = int(torch.load(out / "last.ckpt", weights_only=True)["epoch"]) + 1
    run_together(flags(clips, out, "--resume", model="tiny", epochs=done + 1), tmp_path)
    report = json.loads((out / "metrics.json").read_text())
    assert [row["epoch"] for row in report["history"]] == list(range(1, done + 2))


def test_torchrun_starts_the_processes(clips: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, train\nfrom helpers.tiny_runs import add_tiny_model\nadd_tiny_model()\nsys.exit(train.main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]

    def run(*more: str, batch_size: str) -> subprocess.CompletedProcess[str]:
        arguments = flags(clips, tmp_path / "out", *more, "--batch-size", batch_size, model="tiny", epochs=1)
        return subprocess.run([*torchrun, *arguments], env=environment, capture_output=True, text=True, timeout=120)

    ended = run(batch_size="8")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("epoch   1/1") == 1
    assert (tmp_path / "out" / "weights.safetensors").exists()


def test_indivisible_batch_and_missing_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_processes(Processes(0, 4, 4), 40)
    with pytest.raises(BadInput, match="--batch-size 40 cannot be divided among 3 processes; give a multiple of 3"):
        check_processes(Processes(0, 3, 3), 40)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_processes(Processes(0, 4, 1), 40)
    with pytest.raises(BadInput, match="--nproc-per-node 2: this machine has 1 GPUs"):
        check_processes(Processes(0, 4, 2), 40)
