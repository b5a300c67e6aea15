"""The ablation on rendered faces: its settings, its nets, and runs that keep the best epoch."""

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfer.data.clips import ClipsInMemory
from dfer.data.parts import RunData
from dfer.errors import BadInput
from dfer.evaluation.scores import scores_of
from dfer.experiments import hard_faces
from dfer.experiments.campaign import ROWS
from dfer.experiments.hard_faces import Protocol, build_row, evaluate, train_best_epoch
from dfer.models import AGDTNET_ROWS, build_model
from dfer.models.wide_resnet18 import WIDER, ResNet18OfWidths, parameters, width_for_the_cost_of_aga
from helpers.tiny_runs import NAMES, TinyNet, coloured_clips, tiny_data


def test_rows_are_the_papers_and_two_more() -> None:
    assert {*AGDTNET_ROWS} < {*ROWS}
    assert {*ROWS} - {*AGDTNET_ROWS} == {WIDER, "aga+mean"}


@pytest.mark.parametrize("row", ["tformer", "cbam+dtformer", "se+dtformer", "aga-without-gate+dtformer", "agdtnet"])
def test_row_at_full_width_equals_build_model(row: str) -> None:
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
def test_wider_net_is_the_smallest_with_at_least_agas_parameters(width: int) -> None:
    third = width_for_the_cost_of_aga(width)
    assert third > 4 * width
    plain, aga, wider = (parameters(_backbone(row, width)) for row in ("dtformer", "agdtnet", WIDER))
    one_less = parameters(ResNet18OfWidths([width, 2 * width, third - 1, 8 * width]))
    assert plain < aga <= wider
    assert one_less < aga


def _backbone(row: str, width: int) -> torch.nn.Module:
    return build_row(row, 3, frames=2, width=width, dropout=0.0).backbone  # type: ignore[return-value]


def test_only_the_encoder_depends_on_the_order_of_frames() -> None:
    clips = torch.randn(1, 4, 3, 32, 32)
    for row, blind in (("aga+mean", True), ("agdtnet", False)):
        net = build_row(row, 3, frames=4, width=8, dropout=0.0).eval()
        with torch.no_grad():
            assert torch.allclose(net(clips), net(clips.flip(1)), atol=1e-5) == blind


def trained(net: nn.Module, data: RunData, **settings: Any) -> tuple[list[dict[str, Any]], int]:
    return train_best_epoch(net, data, **{"epochs": 4, "batch_size": 8, "seed": 0, **settings})


def test_net_ends_with_the_weights_of_its_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of the epochs are given: the second has the highest UAR, the third the same and a lower loss."""
    kept: list[dict[str, Tensor]] = []
    given = iter([(1.0, 1), (2.0, 2), (1.5, 2), (0.1, 0)])

    def scored(net: nn.Module, *rest: Any) -> tuple[float, Tensor]:
        kept.append({name: value.clone() for name, value in net.state_dict().items()})
        loss, right = next(given)
        return loss, torch.tensor([[right, 2 - right], [0, 2]])

    monkeypatch.setattr(hard_faces, "evaluate", scored)
    net = TinyNet(len(NAMES), dropout=0.2)
    history, best = trained(net, tiny_data())
    assert best == 3
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert all(torch.equal(value, kept[2][name]) for name, value in net.state_dict().items())
    assert not torch.equal(kept[2]["classifier.weight"], kept[3]["classifier.weight"])


def test_test_clips_do_not_affect_training() -> None:
    def weights(data: RunData) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = TinyNet(len(NAMES), dropout=0.2)
        trained(net, data)
        return net.state_dict()

    nothing = ClipsInMemory(torch.zeros(0, 2, 3, 16, 16, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))
    first, second = weights(tiny_data()), weights(tiny_data(test=nothing))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_seed_determines_order_and_dropout() -> None:
    def losses(seed: int, other_draws: int) -> list[float]:
        torch.manual_seed(0)
        net = TinyNet(len(NAMES), dropout=0.5)
        torch.manual_seed(other_draws)
        return [row["training_loss"] for row in trained(net, tiny_data(), seed=seed)[0]]

    assert losses(1, 5) == losses(1, 6)
    assert losses(1, 5) != losses(2, 5)


def test_colours_are_learned_and_every_clip_is_counted() -> None:
    torch.manual_seed(0)
    data, net = tiny_data(60), TinyNet(len(NAMES), dropout=0.0)
    history, _ = trained(net, data, epochs=40)
    assert history[-1]["training_loss"] < 0.8 * history[0]["training_loss"]
    loss, confusion = evaluate(net, data.test, len(NAMES), batch_size=3)
    assert confusion.sum(dim=1).tolist() == torch.bincount(torch.tensor(data.test.labels)).tolist()
    assert scores_of(confusion).uar > 0.6
    # Batches of another size give the same: eval mode, and a mean over clips rather than over batches.
    again, same = evaluate(net, data.test, len(NAMES), batch_size=8)
    assert torch.equal(same, confusion)
    assert again == pytest.approx(loss, rel=1e-5)


def test_nan_loss_ends_the_run() -> None:
    net = TinyNet(len(NAMES), dropout=0.0)
    nn.init.constant_(net.classifier.weight, math.nan)
    with pytest.raises(BadInput, match="the loss is nan in epoch 1 of seed 0"):
        trained(net, tiny_data(training=8, validation=coloured_clips([0, 1, 2])))


LEAST = {
    "training_people": 1,
    "validation_people": 1,
    "test_people": 1,
    "takes": 1,
    "frames": 2,
    "size": 32,
    "width": 8,
    "epochs": 1,
    "batch_size": 2,
}


def test_least_values_are_accepted() -> None:
    assert asdict(Protocol(**LEAST)) == LEAST


@pytest.mark.parametrize(("name", "least"), LEAST.items(), ids=LEAST)
def test_values_below_the_least_are_refused(name: str, least: int) -> None:
    flag = "--" + name.replace("_", "-")
    with pytest.raises(BadInput, match=f"^{flag}: expected a whole number from {least}, got {least - 1}$"):
        replace(Protocol(), **{name: least - 1})
