"""The rows of the ablation: at the paper's width they are build_model's, and the wider one costs what AGA costs."""

import pytest
import torch

from dfer.experiments.nets import build_row
from dfer.experiments.rows import ROWS
from dfer.models import AGDTNET_ROWS, build_model
from dfer.models.wide_resnet18 import WIDER, ResNet18OfWidths, parameters, width_for_the_cost_of_aga


def test_the_rows_are_the_papers_and_two_more() -> None:
    assert {*AGDTNET_ROWS} < {*ROWS}
    assert {*ROWS} - {*AGDTNET_ROWS} == {WIDER, "aga+mean"}


@pytest.mark.parametrize("row", ["tformer", "cbam+dtformer", "se+dtformer", "aga-without-gate+dtformer", "agdtnet"])
def test_at_the_papers_width_a_row_computes_what_build_model_builds(row: str) -> None:
    ours = build_row(row, 3, frames=2, width=64, dropout=0.0).eval()
    other = build_model(row, 3, 2).eval()
    # The same parameters in the same order, the attention's aside, which stand elsewhere in the state dict.
    mine, theirs = ours.state_dict(), other.state_dict()
    assert len(mine) == len(theirs)
    names = {name: _other_name(name) for name in mine}
    ours.load_state_dict({name: theirs[names[name]] for name in mine})
    clips = torch.randn(2, 2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(clips), other(clips))


def _other_name(name: str) -> str:
    name = name.replace("backbone.stem.0.", "backbone.conv1.").replace("backbone.stem.1.", "backbone.bn1.")
    for stage in ("layer2", "layer3"):
        name = name.replace(f"backbone.{stage}.agdt_attention.", f"backbone.attention.{stage}.")
    return name


@pytest.mark.parametrize("width", [8, 16])
def test_the_wider_plain_net_is_the_smallest_that_reaches_agas_parameters(width: int) -> None:
    third = width_for_the_cost_of_aga(width)
    assert third > 4 * width
    plain, aga, wider = (parameters(_backbone(row, width)) for row in ("dtformer", "agdtnet", WIDER))
    one_less = parameters(ResNet18OfWidths([width, 2 * width, third - 1, 8 * width]))
    assert plain < aga <= wider
    assert one_less < aga


def _backbone(row: str, width: int) -> torch.nn.Module:
    return build_row(row, 3, frames=2, width=width, dropout=0.0).backbone  # type: ignore[return-value]


def test_the_mean_over_time_does_not_see_the_order_of_frames_and_the_encoder_does() -> None:
    clips = torch.randn(1, 4, 3, 32, 32)
    for row, blind in (("aga+mean", True), ("agdtnet", False)):
        net = build_row(row, 3, frames=4, width=8, dropout=0.0).eval()
        with torch.no_grad():
            assert torch.allclose(net(clips), net(clips.flip(1)), atol=1e-5) == blind
