"""ablation.py from end to end, in a size for a test: stopped, killed, started again, and compared with whole runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ablation
from dfer.experiments import trained_runs
from dfer.experiments.hard_faces import Protocol, train_and_test
from dfer.models import build_model
from dfer.training.module import Recognition
from dfer.training.run_folder import plain
from dfer.training.settings import Settings
from helpers.made_data import write_dfew
from helpers.tiny_runs import write_coloured_lists

SCRIPT = Path(ablation.__file__)
TINY = {
    "training_people": 2,
    "validation_people": 1,
    "test_people": 2,
    "takes": 1,
    "frames": 2,
    "size": 32,
    "width": 8,
    "epochs": 2,
    "batch_size": 8,
}
ROWS = ["agdtnet", "wider+dtformer"]
FLAGS = ["--rows", *ROWS, "--seeds", "2", "--workers", "1"]
FLAGS += [text for name, value in TINY.items() for text in ("--" + name.replace("_", "-"), str(value))]


def start(out: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(SCRIPT.parents[1] / folder) for folder in ("src", "examples"))
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *FLAGS, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def runs_in(out: Path) -> list[str]:
    """Complete results; a killed process may leave a temporary file, whose name begins with a point."""
    return sorted(path.name for path in (out / "runs").glob("[!.]*.json"))


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    result = json.loads(json.dumps(result))
    del result["seconds"]
    for epoch in result["history"]:
        del epoch["seconds"]
    return result


def test_stopped_and_killed_runs_resume_to_the_same_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = start(tmp_path)
    wait_for(lambda: (tmp_path / "runs").exists())
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGTERM
    assert said == "ablation.py: stopped by SIGTERM; the same command makes the runs that are missing\n"

    second = start(tmp_path)
    wait_for(lambda: len(runs_in(tmp_path)) > 0)
    second.kill()
    second.communicate(timeout=60)  # The pipes close only when the worker has ended too.
    before = runs_in(tmp_path)
    assert 1 <= len(before) < 4
    stamps = {name: (tmp_path / "runs" / name).stat().st_mtime_ns for name in before}

    assert ablation.main([*FLAGS, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"4 runs, {len(before)} done before" in printed
    assert all((tmp_path / "runs" / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    assert runs_in(tmp_path) == sorted(f"{row}-seed{seed}.json" for row in ROWS for seed in (0, 1))

    for row, seed in (("agdtnet", 0), ("wider+dtformer", 1)):
        made = json.loads((tmp_path / "runs" / f"{row}-seed{seed}.json").read_text())
        assert without_times(made) == without_times(train_and_test(Protocol(**TINY), row, seed))
        assert made["settings"] == TINY
        assert sum(map(sum, made["confusion"])) == 2 * 8
        assert made["epoch_selected_on"] == "validation"
        assert made["versions"]["torch"]
        log = (tmp_path / "runs" / f"{row}-seed{seed}.log").read_text()
        assert log.count("epoch") == TINY["epochs"]

    summary = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["row"] for row in summary["rows"]] == ROWS
    assert summary["rows"][0]["uar"] == [
        json.loads((tmp_path / "runs" / f"agdtnet-seed{seed}.json").read_text())["uar"] for seed in (0, 1)
    ]
    table = (tmp_path / "ablation.md").read_text()
    assert table in printed
    assert "| wider+dtformer |" in table
    assert "2 seeds" in table
    for picture in ("ablation.png", "clips.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "--seeds: expected 2 to 16, for a spread and an exact test; got 1"),
        (["--seeds", "17"], "--seeds: expected 2 to 16, for a spread and an exact test; got 17"),
        (
            ["--takes", "2", "--", "--labels", "direction"],
            "--takes is for the rendered faces; leave it out, or give it after -- to train.py",
        ),
        (["--", "--seed=3"], "--seed=3: ablation.py gives it to each run; leave it out"),
        (["--", "--dfew", "nowhere", "--epochs", "0"], "--epochs: expected a whole number from 1, got 0"),
        (
            ["--rows", "tformer", "wider+dtformer", "--", "--labels", "direction", "--pretrained", "file.pth"],
            "--pretrained: no file fits wider+dtformer, whose third stage is wider; give --rows tformer",
        ),
        (["--workers", "0"], "--workers: expected a whole number from 1, got 0"),
        (["--size", "31"], "--size: expected a whole number from 32, got 31"),
        (["--epochs", "0"], "--epochs: expected a whole number from 1, got 0"),
        (["--width", "12"], "--width: expected a multiple of 8, the heads of the encoder, got 12"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablation.main(["--out", str(tmp_path / "out"), *arguments]) == 2
    assert capsys.readouterr().err == f"ablation.py: {message}\n"
    assert not (tmp_path / "out").exists()


def test_unknown_row_is_refused_with_the_known_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        ablation.main(["--rows", "eca"])
    assert stopped.value.code == 2
    assert "wider+dtformer" in capsys.readouterr().err


def test_runs_on_clips_on_disk_are_runs_of_train_py(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rows, lists = tmp_path / "out", ["aga+mean", "wider+dtformer"], write_coloured_lists(tmp_path)
    trainer = ["--list", f"{lists}/train.txt", "--test-list", f"{lists}/test.txt"]
    trainer += [
        "--frames",
        "2",
        "--size",
        "32",
        "--workers",
        "0",
        "--recipe",
        "rendered",
        "--batch-size",
        "8",
        "--epochs",
        "2",
    ]
    command = ["--rows", *rows, "--seeds", "2", "--out", str(out), "--", *trainer]

    # Stopped between the epochs of its second run, it goes on with the second of them.
    epochs, begin = [], Recognition.on_train_epoch_start

    def stop_at_the_fourth(module: Recognition) -> None:
        begin(module)
        epochs.append(module.current_epoch)
        if len(epochs) == 4:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Recognition, "on_train_epoch_start", stop_at_the_fourth)
    assert ablation.main(command) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == (
        "ablation.py: stopped by SIGTERM; the same command makes the runs that are missing\n"
    )
    assert runs_in(out) == ["aga+mean-seed0.json"]
    assert ablation.main(command) == 0
    assert epochs == [0, 1, 0, 1, 1, 0, 1, 0, 1]
    printed = capsys.readouterr().out
    assert "4 runs, 1 done before" in printed

    summary = json.loads((out / "ablation.json").read_text())
    assert [row["row"] for row in summary["rows"]] == rows
    for number, row in enumerate(rows):
        for seed in (0, 1):
            made = json.loads((out / "runs" / f"{row}-seed{seed}.json").read_text())
            by_train = json.loads((out / "runs" / f"{row}-seed{seed}" / "metrics.json").read_text())
            assert made["uar"] == by_train["uar"] == summary["rows"][number]["uar"][seed]
            assert by_train["settings"]["training"]["seed"] == seed
            assert made["versions"]["torch"]
    nets = [json.loads((out / "runs" / f"{row}-seed0.json").read_text())["settings"] for row in rows]
    assert [(net["model"], net["attention"], net["temporal"]) for net in nets] == [
        ("agdtnet", "aga", "mean"),
        ("wider+dtformer", "none", "dtformer"),
    ]
    table = (out / "ablation.md").read_text()
    assert table in printed
    assert "| UAR, % | sd | WAR, % | minus agdtnet |" in table
    assert f"Each run is one of train.py with `--list {tmp_path / 'train.txt'}`. Recipe rendered: 2 epochs" in table
    assert not (out / "clips.png").exists()

    # The same list elsewhere is the same; another list in its place is refused.
    moved = lists / "moved.txt"
    moved.write_bytes((lists / "train.txt").read_bytes())
    assert ablation.main([str(moved) if word == f"{lists}/train.txt" else word for word in command]) == 0
    with (lists / "train.txt").open("a") as file:
        file.write("\n")
    capsys.readouterr()
    assert ablation.main(command) == 2
    assert "was made with list_sha256 " in capsys.readouterr().err

    assert ablation.main([*command, "--select-on", "test"]) == 2
    assert "was made with select_on validation, not test; give the same" in capsys.readouterr().err


DFEW = ["--frames", "2", "--size", "32", "--workers", "0", "--recipe", "rendered", "--batch-size", "8", "--epochs", "1"]


def test_dfew_runs_all_five_folds_beside_table_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trainings are replaced: each leaves scores from which fold and seed can be told."""
    clips = [2341, 2341, 2340, 2339, 2336]

    def train(settings: Settings) -> None:
        fold, seed = settings.clips.fold, settings.training.seed
        metrics = {"uar": fold / 10 + seed / 100, "war": fold / 20, "recall": dict.fromkeys("abcdefg"), "history": []}
        metrics["confusion"] = [[clips[fold - 1] - 1, 0], [0, 1]]
        settings.out.mkdir()
        groups = {name: plain(asdict(getattr(settings, name))) for name in ("clips", "net", "training")}
        made = {**groups, "clips_sha256": {}, "device": "cpu", "versions": {}, "commit": None}
        (settings.out / "metrics.json").write_text(json.dumps({**metrics, "settings": made}))

    monkeypatch.setattr(trained_runs, "train", train)
    net = build_model("agdtnet", 7, 2)
    monkeypatch.setattr(trained_runs, "load_trained", lambda file: (net, SimpleNamespace(size=32)))
    out, rows = tmp_path / "out", ["aga+mean", "agdtnet"]
    command, trainer = ["--rows", *rows, "--seeds", "2", "--out"], ["--", "--dfew", "DFEW", *DFEW]
    assert ablation.main([*command, str(out), *trainer]) == 0
    assert "agdtnet  seed 1  fold 5  UAR  51.0 %" in capsys.readouterr().out
    names = [f"{row}-seed{seed}-fold{fold}.json" for row in rows for seed in (0, 1) for fold in range(1, 6)]
    assert runs_in(out) == sorted(names)
    for row in json.loads((out / "ablation.json").read_text())["rows"]:
        assert row["uar"] == pytest.approx([0.30, 0.31])
        assert row["columns"]["WAR, %"] == pytest.approx(0.15)
    table = (out / "ablation.md").read_text()
    assert "| WAR, % | UAR, Table 2 | WAR, Table 2 | minus agdtnet |" in table
    assert "| 30.5 | 0.7 | 15.0 | 55.63 | 69.30 |" in table
    assert "| 30.5 | 0.7 | 15.0 | - | - | +0.0 |" in table
    assert "The columns of Table 2 are the paper's, not measured here." in table
    assert "`--dfew DFEW`, once for each fold; a seed's score is the mean over the folds. Recipe" in table

    # Of a part of DFEW the paper's scores are not shown.
    clips[4] -= 1
    assert ablation.main([*command, str(tmp_path / "other"), *trainer]) == 0
    assert "Table 2" not in (tmp_path / "other/ablation.md").read_text()


def test_given_fold_is_the_only_one_run(tmp_path: Path) -> None:
    write_dfew(tmp_path / "DFEW")
    trainer = ["--dfew", str(tmp_path / "DFEW"), "--fold=2", *DFEW]
    assert ablation.main(["--rows", "aga+mean", "--seeds", "2", "--out", str(tmp_path / "out"), "--", *trainer]) == 0
    assert runs_in(tmp_path / "out") == ["aga+mean-seed0.json", "aga+mean-seed1.json"]
    assert f"--dfew {tmp_path / 'DFEW'} --fold 2`." in (tmp_path / "out/ablation.md").read_text()


def test_run_without_result_is_resumed_only_on_the_same_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists, runs = write_coloured_lists(tmp_path), tmp_path / "out" / "runs"
    trainer = ["--list", f"{lists}/train.txt", "--test-list", f"{lists}/test.txt", *DFEW]
    command = ["--rows", "aga+mean", "--seeds", "2", "--out", str(tmp_path / "out"), "--", *trainer]
    assert ablation.main(command) == 0
    result, started = runs / "aga+mean-seed0.json", runs / "aga+mean-seed0" / "settings.json"
    made, before = json.loads(result.read_text()), json.loads(started.read_text())
    for each in runs.glob("*.json"):
        each.unlink()
    listed = (lists / "train.txt").read_text()
    (lists / "train.txt").write_text("".join(reversed(listed.splitlines(keepends=True))))
    capsys.readouterr()
    assert ablation.main(command) == 2
    assert "--resume: the training clips are not those that the run was started with" in capsys.readouterr().err
    (lists / "train.txt").write_text(listed)
    assert ablation.main(command) == 0
    again = json.loads(result.read_text())
    assert all(again[name] == made[name] for name in ("uar", "confusion", "history", "settings"))
    assert {**json.loads(started.read_text()), "resumed": []} == before


def test_runs_on_changed_clips_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists, out = write_coloured_lists(tmp_path), tmp_path / "out"
    trainer = ["--list", f"{lists}/train.txt", "--test-list", f"{lists}/test.txt", *DFEW]

    def ablate(*rows: str) -> int:
        return ablation.main(["--rows", *rows, "--seeds", "2", "--out", str(out), "--", *trainer])

    assert ablate("aga+mean") == 0
    for clip, part in (("test5", "test"), ("train0", "training")):
        frame, other = lists / clip / "3.png", lists / "train1" / "3.png"
        content = frame.read_bytes()
        frame.write_bytes(other.read_bytes())
        capsys.readouterr()
        for _ in ("made", "found"):
            assert ablate("aga+mean", "wider+dtformer") == 2
            assert f"wider+dtformer seed 0: its {part} clips differ from those of other runs" in capsys.readouterr().err
        frame.write_bytes(content)
        (out / "runs" / "wider+dtformer-seed0.json").unlink()
        shutil.rmtree(out / "runs" / "wider+dtformer-seed0")


def test_broken_frame_is_one_line_and_earlier_runs_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = write_coloured_lists(tmp_path)
    (tmp_path / "test0" / "3.png").write_bytes(b"nothing")
    trainer = ["--list", f"{lists}/train.txt", "--test-list", f"{lists}/test.txt", "--frames", "4", "--size", "32"]
    assert ablation.main(["--rows", "aga+mean", "--seeds", "2", "--out", str(tmp_path / "out"), "--", *trainer]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ablation.py: ")
    assert "3.png" in said
    assert said.count("\n") == 1
