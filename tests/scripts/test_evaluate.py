"""evaluate.py end to end: train, kill, resume, evaluate, compare; other clips, published rows, bad input."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import train
from agdt_layers import load_weights
from dfer.data.dfew import NAMES as EXPRESSIONS
from dfer.data.packing import pack
from dfer.evaluation import comparable
from dfer.training import networks
from dfer.training.settings import NetSettings
from dfer.training.trained_file import TrainedFacts, write_trained
from evaluate import main
from helpers.made_data import write_dfew
from helpers.tiny_runs import NAMES, TinyNet, tiny_flags, write_coloured_list, write_coloured_lists
from helpers.train_processes import finished, start, wait_for


def tiny(net: NetSettings, classes: int, *sizes: int) -> TinyNet:
    model = TinyNet(classes, net.dropout or 0.0)
    if (path := getattr(net, "weights", None)) is not None:
        load_weights(model, path)
    return model


@pytest.fixture(autouse=True)
def _tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(networks.MODELS, "tiny", tiny)


def write_run(
    folder: Path, *, seed: int = 0, classes: tuple[str, ...] = NAMES, trained_on: str = "a list", **clips: object
) -> Path:
    """A run's folder without training."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    facts = TrainedFacts(
        classes=classes,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        size=16,
        frames=2,
        epoch=4,
        frames_per_segment=1,
        net={"model": "tiny", "dropout": 0.0},
        epoch_selected_on="validation",
        uar=0.5,
        war=0.5,
        recall=(None,) * len(classes),
        trained_on=trained_on,
    )
    write_trained(folder / "weights.safetensors", TinyNet(len(classes), 0.0), facts)
    saved = {
        "clips": {key: str(value) if isinstance(value, Path) else value for key, value in clips.items()},
        "training": {"seed": 0},
    }
    (folder / "settings.json").write_text(json.dumps(saved))
    return folder


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    return write_coloured_lists(tmp_path / "clips")


def report_in(folder: Path) -> Any:
    return json.loads((folder / "evaluation.json").read_text())


def test_train_kill_resume_evaluate_compare(tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed, other, printed = tmp_path / "runs/killed", tmp_path / "runs/other", tmp_path / "printed"
    flags = tiny_flags(lists, killed, epochs=12)
    process = start(flags, printed)
    wait_for((killed / "last.ckpt").exists, process)
    process.kill()
    process.join()
    assert main([str(killed)]) == 2
    assert "holds no weights.safetensors" in capsys.readouterr().err
    assert finished(start([*flags, "--resume"], printed)) == 0, printed.read_text()
    assert finished(start(tiny_flags(lists, other, "--seed", "1", epochs=1), printed)) == 0, printed.read_text()

    assert main([str(killed)]) == 0
    found, trained = report_in(killed), json.loads((killed / "metrics.json").read_text())
    (row,) = found["runs"]
    assert row["confusion"] == trained["confusion"]
    assert (row["uar"], row["war"]) == pytest.approx((trained["uar"], trained["war"]))
    assert row["number_of_clips"] == 8
    assert "train.py found" not in capsys.readouterr().out

    assert main([str(killed), str(other), "--compare"]) == 0
    both = report_in(tmp_path / "runs/evaluation-killed-other")
    (difference,) = both["comparison"]
    assert difference["uar"] == pytest.approx(both["runs"][1]["uar"] - row["uar"])
    assert difference["uar_interval"][0] <= difference["uar"] <= difference["uar_interval"][1]
    assert both["runs"][0]["uar_interval"] == row["uar_interval"], "the same clips are drawn"


def test_all_outputs_are_written(tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", test_list=lists / "test.txt")
    out = tmp_path / "new/out"
    assert main([str(run / "weights.safetensors"), "--out", str(out), "--resamples", "50", "--seed", "3"]) == 0
    assert sorted(file.name for file in out.iterdir()) == [
        "evaluation.json", "evaluation.md", "evaluation.png", "evaluation_clips.csv",
    ]  # fmt: skip
    text = (out / "evaluation.md").read_text()
    assert text in capsys.readouterr().out
    assert "(50 resamples, seed 3)" in text
    assert (
        f"No published table: published scores are of DFEW, FERV39k and DAiSEE, these clips are the list {lists}"
        in text
    )
    with Image.open(out / "evaluation.png") as picture:
        assert min(picture.size) > 200
    with (out / "evaluation_clips.csv").open() as file:
        rows = list(csv.DictReader(file))
    report = report_in(out)
    right = sum(row["truth"] == row["answer"] for row in rows)
    assert right / len(rows) == report["runs"][0]["war"]
    assert [row["clip"] for row in rows] == [str(lists / f"test{index}") for index in range(8)]
    first = (out / "evaluation.json").read_bytes()
    assert main([str(run), "--out", str(out), "--resamples", "50", "--seed", "3", "--batch-size", "3"]) == 0
    again = report_in(out)
    assert again["runs"][0]["uar_interval"] == json.loads(first)["runs"][0]["uar_interval"]


def test_folds(tmp_path: Path, lists: Path) -> None:
    write_coloured_list(lists, "more", [0, 1, 1, 2], 5)
    runs = [
        write_run(tmp_path / f"fold{n}", seed=n, test_list=lists / f"{name}.txt")
        for n, name in ((1, "test"), (2, "more"))
    ]
    assert main(list(map(str, runs))) == 0
    report = report_in(tmp_path / "evaluation-fold1-fold2")
    assert [row["number_of_clips"] for row in report["runs"]] == [8, 4]
    assert report["over_runs"]["uar"] == pytest.approx(sum(row["uar"] for row in report["runs"]) / 2)
    assert report["over_runs"]["pooled"]
    assert "comparison" not in report


def test_moved_data_set_keeps_its_fold(tmp_path: Path, lists: Path) -> None:
    write_dfew(tmp_path / "DFEW")
    run = write_run(tmp_path / "run", classes=EXPRESSIONS, trained_on="DFEW, fold 3", dfew=tmp_path / "old", fold=3)
    assert main([str(run), "--dfew", str(tmp_path / "DFEW")]) == 0
    (out,) = run.glob("evaluation-on-dfew-*")
    assert report_in(out)["runs"][0]["clips"] == "DFEW, fold 3"
    # Settings hold a fold even if the data set has none.
    listed = write_run(tmp_path / "listed", classes=EXPRESSIONS, test_list=lists / "test.txt", fold=1)
    assert main([str(listed), "--dfew", str(tmp_path / "DFEW")]) == 2


def test_clips_other_than_the_runs_own(tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", test_list=lists / "test.txt")
    other = write_coloured_list(lists, "other", [0, 1, 2], 5)
    assert main([str(run)]) == 0
    own = (run / "evaluation.json").read_bytes()
    assert main([str(run), "--test-list", str(other)]) == 0
    (beside,) = run.glob("evaluation-on-other-*")
    assert report_in(beside)["runs"][0]["number_of_clips"] == 3
    another = write_coloured_list(lists / "below", "other", [0, 1, 2, 0], 6)
    assert main([str(run), "--test-list", str(another)]) == 0
    assert len(list(run.glob("evaluation-on-other-*"))) == 2
    assert (run / "evaluation.json").read_bytes() == own, "the evaluation on the run's own clips is kept"
    capsys.readouterr()
    assert main([str(run), "--test-list", str(other), "--out", str(run)]) == 2
    assert "holds an evaluation of other runs or clips; choose another folder" in capsys.readouterr().err
    (run / "settings.json").unlink()
    assert main([str(run), "--test-list", str(other)]) == 0
    capsys.readouterr()
    assert main([str(run)]) == 2
    assert "give the test clips with one of --labels, --test-list, --dfew" in capsys.readouterr().err


def test_clips_that_the_net_was_trained_on_are_refused(
    tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train.main(tiny_flags(lists, run, epochs=1)) == 0
    capsys.readouterr()
    root = ["--frames-root", str(lists)]
    mixed = lists / "mixed.txt"
    mixed.write_text("".join((lists / name).read_text() for name in ("train.txt", "test.txt")))
    packed = tmp_path / "store"
    pack(lists, packed, 16)
    shutil.copytree(lists, tmp_path / "copy")
    for flags, clips in (
        (["--test-list", lists / "train.txt"], "30 of the 30"),
        (["--test-list", mixed], "30 of the 38"),
        (["--test-list", mixed, "--frames-root", packed], "30 of the 38"),
        (["--test-list", tmp_path / "copy/train.txt"], "30 of the 30"),
    ):
        assert main([str(run), *map(str, flags)]) == 2
        told = capsys.readouterr().err
        assert f"{clips} clips to evaluate on were used to train the net or to choose its epoch" in told
        assert "give --allow-trained-on" in told
    assert main([str(run), "--test-list", str(mixed), *root, "--allow-trained-on"]) == 0
    (out,) = run.glob("evaluation-on-*")
    assert report_in(out)["runs"][0]["clips_trained_on"] == 30
    assert "30 of these 38 clips were used to train it" in (out / "evaluation.md").read_text()
    assert main([str(run)]) == 0
    assert report_in(run)["runs"][0]["clips_trained_on"] == 0


def test_renamed_training_clips_are_reported(tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train.main(tiny_flags(lists, run, epochs=1)) == 0
    shutil.copytree(lists / "train3", lists / "renamed")
    (lists / "other.txt").write_text((lists / "test.txt").read_text() + "renamed 4 0\n")
    capsys.readouterr()
    assert main([str(run), "--test-list", str(lists / "other.txt")]) == 0
    printed = capsys.readouterr().out
    assert "1 of the 9 clips have as many frames and the same middle frame as training clips with other" in printed
    assert "/renamed" in printed


def test_changed_test_clips_are_refused(tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train.main(tiny_flags(lists, run, epochs=1)) == 0
    (lists / "test.txt").write_text("".join((lists / "test.txt").read_text().splitlines(keepends=True)[:6]))
    assert main([str(run)]) == 0
    assert "its test clips have changed since it was trained" in capsys.readouterr().out
    assert not (run / "evaluation.json").exists()
    assert len(list(run.glob("evaluation-on-test-*"))) == 1


def test_weights_without_a_run_are_checked_against_the_named_list(
    tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", test_list=lists / "test.txt")
    other = write_coloured_list(lists, "other", [0, 1, 2], 5)
    assert main([str(run), "--test-list", str(other)]) == 0
    assert "no clips.csv beside it says which clips it was trained on" in capsys.readouterr().out
    mixed = lists / "mixed.txt"
    mixed.write_text((lists / "train.txt").read_text() + other.read_text())
    for training in (mixed, other):
        assert main([str(run), "--list", str(training), "--test-list", str(other)]) == 2
        assert "3 of the 3 clips to evaluate on were used to train" in capsys.readouterr().err


def test_same_net_twice_is_refused(tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", test_list=lists / "test.txt")
    shutil.copytree(run, tmp_path / "copy")
    for again in (run, run / "weights.safetensors", tmp_path / "copy"):
        assert main([str(run), str(again)]) == 2
        assert f"{run} and {again} hold the same trained net" in capsys.readouterr().err


def test_clip_in_a_store_equals_the_clip_in_its_folder(
    tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the same clips from two places would be pooled like two folds."""
    pack(lists, tmp_path / "store", 16)
    runs = [
        write_run(tmp_path / "a", seed=1, test_list=lists / "test.txt"),
        write_run(tmp_path / "b", seed=2, list=lists / "train.txt", test_list=lists / "test.txt",
                  frames_root=tmp_path / "store"),
    ]  # fmt: skip
    assert main(list(map(str, runs))) == 0
    assert report_in(tmp_path / "evaluation-a-b")["over_runs"]["test_clips"] == "the same for all"
    (lists / "part.txt").write_text("".join((lists / "test.txt").read_text().splitlines(keepends=True)[:5]))
    runs.append(write_run(tmp_path / "c", seed=3, test_list=lists / "part.txt"))
    capsys.readouterr()
    assert main([str(runs[1]), str(runs[2])]) == 2
    assert "share 5 of their 8 and 5 test clips" in capsys.readouterr().err


def test_published_rows_appear_only_for_the_same_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dfew(tmp_path / "DFEW")
    # The network's classes are ordered differently from DFEW's and are matched by name.
    run = write_run(tmp_path / "run", classes=tuple(reversed(EXPRESSIONS)), dfew=tmp_path / "DFEW", fold=2)
    assert main([str(run)]) == 0
    report = report_in(run)
    assert report["published"]["why_not"].startswith("No published table: DFEW, fold 2 has 2341 published test clips")
    monkeypatch.setitem(comparable.TEST_CLIPS, "dfew", (7,) * 5)
    capsys.readouterr()
    assert main([str(run), "--dfew", str(tmp_path / "DFEW")]) == 0
    text = capsys.readouterr().out
    # In the order of the net's classes.
    reversed_recalls = "22.35 | 0.00 | 65.99 | 76.27 | 67.79 | 68.07 | 88.96"
    assert f"| AGDTNet | agdtnet | {reversed_recalls} | 55.63 | 69.30 | Table 4, its own result |" in text
    assert "| MSSL | - | - | - | - | - | - | - | - | 59.86 | 68.58 | Table 4, another system |" in text
    assert f"| **{run}** |  | " in text
    assert "Published rows are those of the paper's Table 4, not measured here." in text
    assert "the paper's Figure 6, of which only the diagonal, AGDTNet's recalls above, is known here" in text
    assert "Measured here: fold 2; the paper does not say on which of DFEW's folds" in text
    with (run / "evaluation_clips.csv").open() as file:
        named = {row["clip"][-5:]: row["truth"] for row in csv.DictReader(file)}
    assert named == {f"{clip:05}": EXPRESSIONS[clip * 7 // 29] for clip in range(4, 29, 4)}


def test_bad_input(tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", test_list=lists / "test.txt")
    other = write_run(tmp_path / "other", seed=1, test_list=lists / "train.txt")
    faces = write_run(tmp_path / "faces", classes=("a", "b"), test_list=lists / "test.txt")
    broken = write_run(tmp_path / "broken", test_list=lists / "test.txt")
    (broken / "settings.json").write_text("{")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    write_dfew(tmp_path / "DFEW")
    first = write_run(
        tmp_path / "first", classes=EXPRESSIONS, trained_on="DFEW, fold 1", dfew=tmp_path / "DFEW", fold=1
    )
    for arguments, message in (
        ([tmp_path / "none"], f"{tmp_path / 'none'}: no such file"),
        ([tmp_path / "file"], "file: is not a safetensors file"),
        ([tmp_path / "empty"], "holds no weights.safetensors; is it the folder of a finished run of train.py"),
        ([run, "--test-list", tmp_path / "no.txt"], "no.txt: cannot be read as a clip list"),
        ([run, "--dfew", tmp_path / "empty", "--fold", "1"], "cannot be read as a split of DFEW"),
        ([run, "--dfew", tmp_path / "DFEW", "--fold", "6"], "DFEW has the folds 1 to 5; got 6"),
        ([run, "--dfew", tmp_path / "DFEW"], "--dfew needs --fold"),
        (
            [run, "--dfew", tmp_path / "DFEW", "--fold", "1"],
            "which the net does not answer; its classes are dark, grey",
        ),
        (
            [run, "--test-list", lists / "test.txt", "--dfew", "x", "--fold", "1"],
            "are different clips; give one of them",
        ),
        ([first, "--fold", "2"], "trained on DFEW, fold 1, so on the test clips of DFEW, fold 2 too"),
        ([faces], "test.txt: label 2 is none of the net's 2 classes, 0 to 1 for a, b"),
        ([broken], "settings.json: is no settings file of train.py"),
        ([run, other, "--compare"], "--compare: expected two runs or more on the same test clips"),
        ([run, "--compare"], "--compare: expected two runs or more"),
        ([run, "--resamples", "0"], "--resamples: expected a whole number from 1, got 0"),
        ([run, "--precision", "half"], "--precision: expected one of auto, float32, bfloat16, got half"),
        ([run, "--out", tmp_path / "file"], f"--out {tmp_path / 'file'}: cannot be written to"),
        ([run, "--flag"], "unrecognized arguments: --flag"),
        ([], "runs"),
    ):
        assert main(list(map(str, arguments))) == 2, arguments
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.startswith("evaluate.py: ")
        assert printed.count("\n") == 1, printed
    assert not list(tmp_path.rglob("evaluation*")), "nothing is written"


def test_broken_frame_is_refused_in_one_line(tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", test_list=lists / "test.txt")
    for frame in (lists / "test5").iterdir():
        frame.write_bytes(b"not a picture")
    for workers in ("0", "1"):
        assert main([str(run), "--workers", workers]) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert "cannot be read as a picture" in printed
    assert not (run / "evaluation.json").exists()
