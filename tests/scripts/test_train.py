"""train.py from end to end: real footage, a killed run, order in time, and what it says to bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from helpers.real_footage import LABELS, talking_face, write_clips
from train import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists train.txt and test.txt, cut from different parts of the footage."""
    root = tmp_path_factory.mktemp("real footage")
    frames = [frame.resize((48, 48)) for frame in talking_face()]
    assert len(frames) == 120
    write_clips(root, "train", frames[:84], length=12, step=3)
    write_clips(root, "test", frames[84:], length=12, step=2)
    write_clips(root, "few", frames[:24], length=12, step=4)
    return root


def listed(root: Path, training: str = "train", **flags: object) -> list[str]:
    flags = {"list": root / f"{training}.txt", "test-list": root / "test.txt", "frames-root": root, **flags}
    return [part for name, value in flags.items() for part in (f"--{name}", str(value))]


def test_real_footage_is_learned(footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = {"frames": 4, "size": 32, "epochs": 4, "batch-size": 8, "recipe": "rendered", "workers": 0}
    assert main(listed(footage, **flags, out=tmp_path, **{"class-names": ",".join(LABELS)})) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    # Chance is 1/3.
    assert metrics["uar"] >= 0.6
    assert metrics["epoch_selected_on"] == "validation"
    assert list(metrics["recall"]) == list(LABELS)
    assert sum(map(sum, metrics["confusion"])) == 39
    for name in ("confusion.png", "curves.png", "attention.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 200
    printed = capsys.readouterr().out
    assert str(tmp_path) in printed.splitlines()[-1]
    assert max(map(len, printed.splitlines()[:-1])) <= 100


def run_train(arguments: list[str], *, kill_at: Path | None = None) -> None:
    """Run train.py in a process of its own; with `kill_at`, kill it without warning once that file is there."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "examples" / "train.py"), *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while kill_at is not None and not kill_at.exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    if kill_at is not None:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == (0 if kill_at is None else -signal.SIGKILL)


def test_killed_run_resumes_to_the_same_weights(footage: Path, tmp_path: Path) -> None:
    """The whole of it once; test_killed_runs.py does it with every recipe and at any moment."""
    options = {"batch-size": 6, "workers": 1, "dropout": 0.2, "recipe": "rendered"}
    flags = listed(footage, "few", frames=4, size=32, epochs=2, **options)
    run_train([*flags, "--out", str(tmp_path / "whole")])
    run_train([*flags, "--out", str(tmp_path / "killed")], kill_at=tmp_path / "killed" / "last.ckpt")
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    run_train([*flags, "--out", str(tmp_path / "killed"), "--resume"])
    one, other = (load_file(tmp_path / run / "weights.safetensors") for run in ("whole", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    # The same folder, another run: refused rather than continued into nonsense.
    assert main([*flags, "--out", str(tmp_path / "killed"), "--resume", "--seed", "1"]) == 2


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("train.py: ")
    assert printed.count("\n") == 1
    return printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "--frames: expected a whole number from 1, got 0"),
        (["--epochs", "two"], "--epochs: expected a whole number, got two"),
        (["--size", "1.5"], "--size: expected a whole number, got 1.5"),
        (["--dropout", "1"], "--dropout: expected a number from 0 to below 1, got 1.0"),
        (["--attention", "x"], "--attention: expected one of aga, aga-without-gate, cbam, se, none, got x"),
        (["--labels", "x"], "--labels: expected one of expressions, aligned-expressions, direction, got x"),
        (["--channels-last", "x"], "--channels-last: expected true or false, got x"),
        (["--recipe", "x"], "--recipe: expected one of rendered, series, dfew, ferv39k, daisee, got x"),
        (["--model", "x"], "vectors+dtformer, vectors+torch-encoder, got x"),
        (["--learning-rate", "x"], "--learning-rate: expected a number, got x"),
        (["--balanced", "x"], "--balanced: expected true or false, got x"),
        (["--momentum", "0.9"], "--momentum belongs to the recipes dfew, ferv39k, daisee, not to rendered"),
        (["--model", "c3d", "--causal"], "--causal: c3d has no such setting; leave it out"),
        (["--model", "vgg11-lstm", "--size", "24"], "Frames need at least 32 x 32 pixels."),
        (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["--test-list", "x.txt"], "--test-list belongs to --list; leave it out"),
        (["--frames-root", "x"], "--frames-root belongs to --list, --dfew, --ferv39k, --daisee; leave it out"),
        (["--ravdess", "x", "--frames-root", "y"], "--frames-root belongs to --list, --dfew, --ferv39k, --daisee"),
        (["--daisee-state", "engagement"], "--daisee-state belongs to --daisee; leave it out"),
        (["--dfew", "x", "--ferv39k", "y"], "--dfew and --ferv39k are different clips; give one of them"),
        (["--daisee", "x"], "--daisee needs --frames-root"),
        (["--list", "x.txt"], "--list needs --test-list FILE"),
        (["--list", "x", "--test-list", "y", "--frames", "5"], "5 is not a multiple of --frames-per-segment 2"),
        (["--list", "x.txt", "--labels", "direction"], "--labels and --list are different clips; give one of them"),
    ],
)
def test_bad_flags_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(arguments, capsys)


def test_bad_files_are_refused(footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = listed(footage, "few", frames=2, size=32, epochs=1, out=tmp_path / "out")
    assert "nowhere.txt: cannot be read" in refused([*flags, "--list", str(tmp_path / "nowhere.txt")], capsys)
    assert "--resume: no checkpoint" in refused([*flags, "--resume"], capsys)
    assert "labels 0 to 2, so 3 names are expected; got 2" in refused([*flags, "--class-names", "a,b"], capsys)
    assert "--pretrained" in refused([*flags, "--pretrained", str(tmp_path / "none.pt")], capsys)
    (tmp_path / "text.pt").write_text("not weights")
    assert "--pretrained" in refused([*flags, "--pretrained", str(tmp_path / "text.pt")], capsys)
    (tmp_path / "file").touch()
    assert "--out" in refused([*flags, "--out", str(tmp_path / "file")], capsys)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_broken_frame_is_reported_in_one_line(tmp_path: Path, workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    for clip in range(12):
        (tmp_path / str(clip)).mkdir()
        Image.new("RGB", (32, 32), (20 * clip, 0, 0)).save(tmp_path / str(clip) / "1.png")
    for name, clips in (("train", range(8)), ("test", range(8, 12))):
        (tmp_path / f"{name}.txt").write_text("".join(f"{clip} 1 {clip % 2}\n" for clip in clips))
    (tmp_path / "9" / "1.png").write_bytes(b"not a picture")
    flags = listed(tmp_path, frames=2, size=32, workers=workers, out=tmp_path / "out", **{"batch-size": 4})
    assert "1.png: cannot be read as a picture" in refused(flags, capsys)
