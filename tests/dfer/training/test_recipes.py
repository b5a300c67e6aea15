"""Every recipe by value: what is optimised, how, and how the learning rate goes; in a run as in the paper."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from dfer.training.recipes import RECIPES, parameter_groups
from dfer.training.run import run
from helpers.tiny_runs import TinyNet, tiny_settings, use_tiny_model

PAPER = ("dfew", "ferv39k", "daisee")


def learning_rates(name: str, *, steps: int, epochs: int) -> list[list[float]]:
    """Of every group, before each move of the schedule."""
    recipe = RECIPES[name]
    optimiser = recipe.optimiser(TinyNet(3, 0.0))
    schedule = recipe.schedule(optimiser, steps, epochs)
    rates = []
    for _ in range(epochs if recipe.steps_every == "epoch" else steps * epochs):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_optimiser(name: str) -> None:
    recipe, net = RECIPES[name], TinyNet(3, 0.0)
    optimiser = recipe.optimiser(net)
    assert type(optimiser) is SGD
    (group,) = optimiser.param_groups
    assert {k: group[k] for k in ("lr", "momentum", "weight_decay", "nesterov", "dampening")} == {
        "lr": 1e-3,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "nesterov": False,
        "dampening": 0,
    }
    assert all(one is other for one, other in zip(group["params"], net.parameters(), strict=True))
    assert (recipe.epochs, recipe.batch_size) == (100, 40)
    assert recipe.balanced == (name == "daisee")


@pytest.mark.parametrize("name", ["dfew", "ferv39k"])
def test_the_papers_steps(name: str) -> None:
    rates = [rate for (rate,) in learning_rates(name, steps=5, epochs=100)]
    assert rates == pytest.approx([1e-3 * 0.5 ** (epoch // 7) for epoch in range(100)])


def test_the_papers_warm_restarts() -> None:
    rates = [rate for (rate,) in learning_rates("daisee", steps=5, epochs=100)]
    expected = []
    for length in (10, 20, 40, 80):
        expected += [0.5e-3 * (1 + math.cos(math.pi * epoch / length)) for epoch in range(length)]
    assert rates == pytest.approx(expected[:100])


def test_from_scratch_the_temporal_encoder_takes_smaller_steps() -> None:
    net = TinyNet(3, 0.0)
    optimiser = RECIPES["rendered"].optimiser(net)
    assert type(optimiser) is AdamW
    temporal, rest = optimiser.param_groups
    assert [id(p) for p in temporal["params"]] == [id(p) for p in net.temporal.parameters()]
    assert [id(p) for p in rest["params"]] == [id(p) for part in (net.norm, net.classifier) for p in part.parameters()]
    assert temporal["weight_decay"] == rest["weight_decay"] == 0.05
    rates = learning_rates("rendered", steps=50, epochs=2)
    assert rates[0] == pytest.approx([1e-4 / 25, 4e-4 / 25])
    assert rates[19] == pytest.approx([1e-4, 4e-4])
    assert rates[-1] == pytest.approx([1e-4 / 25e4, 4e-4 / 25e4])
    assert max(rates) == rates[19]


def test_a_model_without_such_parts_has_one_group_and_frozen_parameters_are_left_out() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[0].weight.requires_grad_(False)
    groups = parameter_groups(net, {"temporal.": 1.0, "": 2.0})
    assert [(group["lr"], [id(p) for p in group["params"]]) for group in groups] == [
        (2.0, [id(p) for p in (net[0].bias, *net[1].parameters())])
    ]


@pytest.mark.parametrize(
    ("recipe", "moves", "rate"),
    [
        ("dfew", 8, 0.5e-3),
        ("daisee", 8, 0.5e-3 * (1 + math.cos(math.pi * 8 / 10))),
        # Two steps an epoch.
        ("rendered", 16, None),
    ],
)
def test_a_run_moves_the_schedule_as_often_as_the_recipe_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, moves: int, rate: float | None
) -> None:
    use_tiny_model(monkeypatch)
    run(tiny_settings(tmp_path / "out", recipe=recipe, epochs=8, batch_size=10))
    checkpoint = torch.load(tmp_path / "out" / "last.ckpt", weights_only=True)
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == moves
    if rate is not None:
        assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(rate)
