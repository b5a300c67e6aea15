"""Series of vectors through train.py, --resume, evaluate.py and ablation.py, in sizes for a test."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ablation
import evaluate
import train
from dfer.experiments import series_sets
from dfer.experiments.series_sets import SeriesProtocol
from dfer.training.module import Recognition
from dfer.training.networks import sha256
from helpers.made_series import write_series


def flags(file: Path, out: Path, *more: str) -> list[str]:
    given = ["--series", str(file), "--frames", "12", "--width", "8", "--epochs", "2", "--batch-size", "4"]
    return [*given, "--out", str(out), *more]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_series(tmp_path / "made.npz")


@pytest.mark.parametrize("model", ["vectors+mean", "vectors+dtformer"])
def test_trained_run_is_evaluated_on_its_own_test_series(
    file: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train.main(flags(file, out, "--model", model, "--fold", "3", "--epochs", "8")) == 0
    assert "6 + 3 + 3 clips to train, choose and test on; 12 frames of 3\n" in capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    assert evaluate.main([str(out)]) == 0
    (run,) = json.loads((out / "evaluation.json").read_text())["runs"]
    assert (run["uar"], run["number_of_clips"], run["clips_trained_on"]) == (pytest.approx(metrics["uar"]), 3, 0)
    assert evaluate.main([str(out), "--dfew", str(tmp_path)]) == 2
    assert "so only its own test series fit; leave --dfew out" in capsys.readouterr().err
    held = dict(np.load(file))
    held["vectors"][0] += 1  # a frame of the training part: the scale changes, the test series do not
    np.savez(file, **held)
    assert evaluate.main([str(out)]) == 2
    assert "its training series are not those" in capsys.readouterr().err


def test_folder_of_npy_files_trains_like_the_file(file: Path, tmp_path: Path) -> None:
    held, folder = np.load(file), tmp_path / "series"
    folder.mkdir()
    rows = ["file,label,subject"]
    for number, vectors in enumerate(np.split(held["vectors"], np.cumsum(held["lengths"])[:-1])):
        np.save(folder / f"{number}.npy", vectors)
        rows.append(f"{number}.npy,class {held['labels'][number]},{held['subjects'][number]}")
    (folder / "series.csv").write_text("\n".join(rows))
    before = sha256(folder)
    for series, out in ((file, "a"), (folder, "b")):
        assert train.main(flags(series, tmp_path / out, "--model", "vectors+mean")) == 0
    one, other = (load_file(tmp_path / out / "weights.safetensors") for out in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert sha256(folder) == before
    np.save(folder / "0.npy", np.load(folder / "0.npy") + 1)
    assert sha256(folder) != before


def test_resumed_run_equals_the_uninterrupted_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train.main(flags(file, tmp_path / "whole", "--shuffle-frames")) == 0
    step = Recognition.training_step

    def stopped(self: Recognition, batch: tuple[torch.Tensor, ...], number: int) -> torch.Tensor:
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch, number)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Recognition, "training_step", stopped)
        with pytest.raises(BaseException):  # noqa: B017, PT011
            train.main(flags(file, tmp_path / "out", "--shuffle-frames"))
    assert train.main(flags(file, tmp_path / "out", "--shuffle-frames", "--resume")) == 0
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "out"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_last_epoch_is_kept_when_nothing_selects(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(flags(file, tmp_path / "run", "--select-on", "last", "--epochs", "5")) == 0
    said = capsys.readouterr().out
    assert "9 + 3 + 3 clips" in said
    assert "of epoch 5, the last" in said
    assert "look the same" not in said


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--model", "agdtnet"), "--width: agdtnet has no such setting; leave it out"),
        (("--attention", "se"), "--attention: vectors+dtformer has no such setting"),
        (("--width", "9"), "a multiple of 4"),
        (("--width", "0"), "a multiple of 4, the number of heads; got 0"),
        (("--size", "32"), "--size is the side of a picture"),
        (("--contact-sheet",), "--contact-sheet draws pictures"),
        (("--frames-root", "x"), "--frames-root belongs to"),
    ],
)
def test_settings_that_do_not_fit_series_are_refused(
    file: Path, tmp_path: Path, given: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(flags(file, tmp_path / "run", *given)) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "given", [("--model", "vectors+mean"), ("--windows",), ("--shuffle-frames",), ("--width", "8")]
)
def test_settings_of_series_are_refused_for_pictures(
    given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*given, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_ablation_runs_every_encoder_for_every_person(file: Path, tmp_path: Path) -> None:
    given = ["--seeds", "2", "--rows", "vectors+tformer", "vectors+dtformer", "--out", str(tmp_path / "ablation"), "--"]
    assert ablation.main([*given, *flags(file, tmp_path)[:-2], "--select-on", "last"]) == 0
    summary = json.loads((tmp_path / "ablation" / "ablation.json").read_text())
    assert len(list((tmp_path / "ablation" / "runs").glob("*.json"))) == 2 * 2 * 4
    assert [test["row"] for test in summary["against_reference"]] == ["vectors+tformer"]
    assert "once for each fold" in (tmp_path / "ablation" / "ablation.md").read_text()


def test_protocol_on_series_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two small sets: one by person, one by seed."""
    sets, names = tmp_path / "sets", ("watch", "BasicMotions")
    sets.mkdir()
    write_series(sets / "watch.npz", people=2)
    write_series(sets / "BasicMotions.npz", people=2, parts=["training"] * 3 + ["test"] * 3, subjects=None)
    protocol = json.loads(ablation.PROTOCOL.read_text())
    protocol["series"]["design"] |= {
        "channels": 8, "seeds": dict.fromkeys(names, 2), "epochs": dict.fromkeys(names, 1),
        "batch_size": dict.fromkeys(names, 4), "models": ["TFormer", "DTFormer"], "shuffled": ["TFormer"],
    }  # fmt: skip
    (tmp_path / "protocol.json").write_text(json.dumps(protocol))
    monkeypatch.setattr(series_sets, "FRAMES", {"watch": ("5", "--windows"), "BasicMotions": ("12",)})
    given = ["--series-sets", str(sets), "--out", str(tmp_path), "--protocol", str(tmp_path / "protocol.json")]
    assert ablation.main(given) == 0
    capsys.readouterr()
    assert ablation.main(given) == 0
    assert "6 runs, 6 done before" in capsys.readouterr().out
    report = json.loads((tmp_path / "series.json").read_text())
    assert [(each["set"], each["unit"], each["runs"]) for each in report["sets"]] == [
        ("watch", "person", 12), ("BasicMotions", "seed", 6),
    ]  # fmt: skip
    tested = [(test["row"], test["other"]) for test in report["sets"][0]["tested"]]
    assert tested == [("DTFormer", "TFormer"), ("TFormer", "TFormer, shuffled")]
    assert report["sets"][0]["tested"][0]["p_holm"] >= report["sets"][0]["tested"][0]["p"]
    assert (tmp_path / "series.png").stat().st_size > 10_000
    next((tmp_path / "runs" / "watch").glob("*-seed1-*.json")).unlink()
    assert ablation.main([*given, "--report-only"]) == 0
    assert "**watch**, 1 of 2 seeds, 2 persons\n" in (tmp_path / "series.md").read_text()


def test_protocol_matches_the_nets() -> None:
    design = SeriesProtocol.read(ablation.PROTOCOL)
    assert (design.channels, design.depth, design.heads, design.mlp_channels) == (64, 2, 4, 128)
    assert design.rows["DTFormer, shuffled"] == "vectors+dtformer-shuffled"


def test_missing_set_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablation.main(["--series-sets", str(tmp_path)]) == 2
    assert "docs/series_sets.py makes it" in capsys.readouterr().err
