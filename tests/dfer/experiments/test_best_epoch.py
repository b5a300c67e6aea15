"""The best epoch is kept, whichever it is; the test clips play no part; a loss that is no number ends the run."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfer.data.clips import ClipsInMemory
from dfer.data.parts import RunData
from dfer.errors import BadInput
from dfer.evaluation.scores import scores_of
from dfer.experiments import best_epoch
from dfer.experiments.best_epoch import evaluate, train_best_epoch
from helpers.tiny_runs import NAMES, TinyNet, coloured_clips, tiny_data


def trained(net: nn.Module, data: RunData, **settings: Any) -> tuple[list[dict[str, Any]], int]:
    return train_best_epoch(net, data, **{"epochs": 4, "batch_size": 8, "seed": 0, **settings})


def test_the_net_is_left_with_the_weights_of_its_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of the epochs are given: the second has the highest UAR, the third the same and a lower loss."""
    kept: list[dict[str, Tensor]] = []
    given = iter([(1.0, 1), (2.0, 2), (1.5, 2), (0.1, 0)])

    def scored(net: nn.Module, *rest: Any) -> tuple[float, Tensor]:
        kept.append({name: value.clone() for name, value in net.state_dict().items()})
        loss, right = next(given)
        return loss, torch.tensor([[right, 2 - right], [0, 2]])

    monkeypatch.setattr(best_epoch, "evaluate", scored)
    net = TinyNet(len(NAMES), dropout=0.2)
    history, best = trained(net, tiny_data())
    assert best == 3
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert all(torch.equal(value, kept[2][name]) for name, value in net.state_dict().items())
    assert not torch.equal(kept[2]["classifier.weight"], kept[3]["classifier.weight"])


def test_the_test_clips_play_no_part() -> None:
    def weights(data: RunData) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = TinyNet(len(NAMES), dropout=0.2)
        trained(net, data)
        return net.state_dict()

    nothing = ClipsInMemory(torch.zeros(0, 2, 3, 16, 16, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))
    first, second = weights(tiny_data()), weights(tiny_data(test=nothing))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_seed_decides_order_and_dropout() -> None:
    def losses(seed: int, other_draws: int) -> list[float]:
        torch.manual_seed(0)
        net = TinyNet(len(NAMES), dropout=0.5)
        torch.manual_seed(other_draws)
        return [row["training_loss"] for row in trained(net, tiny_data(), seed=seed)[0]]

    assert losses(1, 5) == losses(1, 6)
    assert losses(1, 5) != losses(2, 5)


def test_it_learns_colours_and_evaluate_counts_every_clip() -> None:
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


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    net = TinyNet(len(NAMES), dropout=0.0)
    nn.init.constant_(net.classifier.weight, math.nan)
    with pytest.raises(BadInput, match="the loss is nan in epoch 1 of seed 0"):
        trained(net, tiny_data(training=8, validation=coloured_clips([0, 1, 2])))
