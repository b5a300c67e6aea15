"""The values in the outputs of a run."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from agdt_layers import build_agdtnet
from dfer.data.parts import RunData
from dfer.evaluation.results import Results, write_results
from helpers.tiny_runs import NAMES, TinyNet, coloured_clips, tiny_settings

CONFUSION = torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
HISTORY = [
    {
        "epoch": epoch,
        "training_loss": 1.0,
        "validation_loss": 1.5,
        "validation_uar": 0.5,
        "validation_war": 0.5,
        "seconds": 1.0,
    }
    for epoch in (1, 2)
]


def results(net: torch.nn.Module, size: int = 16) -> Results:
    clips = coloured_clips([0, 1, 1, 0], size=size)
    return Results(net, RunData(NAMES, clips, clips, clips, False), HISTORY, CONFUSION, epoch=2, records=[{}])


def test_numbers_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(tiny_settings(tmp_path, select_on="test"), results(TinyNet(3, 0.0)))
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["uar"] == pytest.approx((0.75 + 1) / 2)
    assert report["war"] == pytest.approx(5 / 6)
    assert report["recall"] == {"dark": 0.75, "grey": 1.0, "bright": None}
    assert report["confusion"] == CONFUSION.tolist()
    assert (report["epoch"], report["epoch_selected_on"]) == (2, "test")
    assert report["history"] == HISTORY
    printed = capsys.readouterr().out
    assert "dark       4    75.0 %" in printed
    assert "bright       0        -" in printed
    assert "UAR 87.5 %   WAR 83.3 %" in printed
    assert "of epoch 2, chosen on the test clips" in printed
    for name in ("confusion.png", "curves.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 200
    # A model without AGA has no map to show.
    assert not (tmp_path / "attention.png").exists()


def test_attention_of_agdtnet_is_drawn(tmp_path: Path) -> None:
    write_results(tiny_settings(tmp_path), results(build_agdtnet(3, num_frames=2), size=32))
    with Image.open(tmp_path / "attention.png") as picture:
        assert min(picture.size) > 100
