"""extract_features.py: vectors of a trained network and of a timm model, which train.py then trains on."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import extract_features
import train
from agdt_layers import build_agdtnet
from dfer.data.augmentation import prepare
from dfer.training.command_line import parse
from dfer.training.load_data import load_data
from dfer.training.trained_file import load_trained, write_trained
from helpers.made_rows import facts
from helpers.tiny_runs import write_coloured_lists


def clip_flags(folder: Path) -> list[str]:
    lists = write_coloured_lists(folder)
    return ["--list", str(lists / "train.txt"), "--test-list", str(lists / "test.txt")]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    (tmp_path / "run").mkdir()
    settings = {"model": "agdtnet", "attention": "aga", "temporal": "mean", "dropout": 0.0}
    net = build_agdtnet(3, num_frames=2, temporal="mean").eval()
    write_trained(tmp_path / "run" / "weights.safetensors", net, facts(net=settings, frames=2, size=32))
    return tmp_path / "run"


def test_vectors_of_a_run_are_its_frame_vectors_and_can_be_trained_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, out = clip_flags(tmp_path / "clips"), tmp_path / "vectors.npz"
    assert extract_features.main(["--run", str(run), "--out", str(out), "--", *flags]) == 0
    assert "series of 2 frames with 512 channels" in capsys.readouterr().out
    before = out.read_bytes()
    assert extract_features.main(["--run", str(run), "--out", str(out), "--", *flags]) == 2
    assert capsys.readouterr().err == f"extract_features.py: --out {out}: already exists; delete it or choose another\n"
    assert out.read_bytes() == before
    held = np.load(out)
    data = load_data(
        parse([*flags, "--frames", "2", "--frames-per-segment", "1", "--size", "32"], prog="", description=None)
    )
    net = load_trained(run / "weights.safetensors")[0]
    with torch.no_grad():
        expected = net.encode(prepare(data.test.frames(0, None)[None]))[0]  # type: ignore[operator]
    first = held["lengths"][: np.flatnonzero(held["parts"] == "test")[0]].sum()
    torch.testing.assert_close(torch.from_numpy(held["vectors"][first : first + 2]), expected, rtol=1e-4, atol=1e-5)
    counts = {part: int((held["parts"] == part).sum()) for part in ("training", "validation", "test")}
    assert counts == {name: len(part.labels) for name, part in data.parts.items()}
    assert train.main(["--series", str(out), "--epochs", "1", "--out", str(tmp_path / "trained")]) == 0
    assert json.loads((tmp_path / "trained" / "metrics.json").read_text())["uar"] >= 0


def test_timm_model_gives_a_vector_for_each_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for timm: the mean colours, normalised as its configuration says."""

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> nn.Module:
        assert (name, pretrained, num_classes) == ("colours", True, 0)
        net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        net.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # type: ignore[assignment]
        return net

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    flags, out = [*clip_flags(tmp_path / "clips"), "--frames", "2", "--size", "32"], tmp_path / "vectors.npz"
    assert extract_features.main(["--timm", "colours", "--out", str(out), "--", *flags]) == 0
    clip = load_data(parse(flags, prog="", description=None)).training.frames(0, None)
    expected = (clip.float() / 255).mean(dim=(2, 3)) * 2 - 1
    torch.testing.assert_close(torch.from_numpy(np.load(out)["vectors"][:2]), expected)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--run", "absent"), "absent: no such file"),
        (("--timm", "colours", "--weights", "absent"), "--timm"),
        (("--timm", "colours", "--", "--series", "x.npz"), "--series holds vectors already"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    given: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    own = given.index("--") if "--" in given else len(given)
    arguments = [*given[:own], "--out", str(tmp_path / "x.npz"), *given[own:]]
    assert extract_features.main(arguments) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
