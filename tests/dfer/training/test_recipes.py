"""Every recipe by value: what is optimised, how, and how the learning rate goes; in a run as in the paper."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from dfer.errors import BadInput
from dfer.training.optimisation import make_optimiser, make_schedule, parameter_groups
from dfer.training.recipes import RECIPES
from dfer.training.run import run
from dfer.training.settings import ON_DISK, TrainingSettings
from helpers.tiny_runs import TinyNet, tiny_settings, use_tiny_model

DATA_SETS = ("dfew", "ferv39k", "daisee")


def of_recipe(name: str, *, epochs: int = 100, **overridden: Any) -> TrainingSettings:
    return TrainingSettings(recipe=name, epochs=epochs, batch_size=40, workers=0, **overridden)


def learning_rates(settings: TrainingSettings, *, steps: int) -> list[list[float]]:
    """Of every group, before each move of the schedule."""
    optimiser = make_optimiser(settings, TinyNet(3, 0.0))
    schedule, interval = make_schedule(settings, optimiser, steps=steps)
    rates = []
    for _ in range(settings.epochs if interval == "epoch" else steps * settings.epochs):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("name", DATA_SETS)
def test_data_set_selects_its_optimiser(name: str) -> None:
    recipe, net = RECIPES[name], TinyNet(3, 0.0)
    optimiser = make_optimiser(of_recipe(name), net)
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
def test_step_schedule_is_the_papers(name: str) -> None:
    rates = [rate for (rate,) in learning_rates(of_recipe(name), steps=5)]
    assert rates == pytest.approx([1e-3 * 0.5 ** (epoch // 7) for epoch in range(100)])


def test_warm_restarts_are_the_papers() -> None:
    rates = [rate for (rate,) in learning_rates(of_recipe("daisee"), steps=5)]
    expected = []
    for length in (10, 20, 40, 80):
        expected += [0.5e-3 * (1 + math.cos(math.pi * epoch / length)) for epoch in range(length)]
    assert rates == pytest.approx(expected[:100])


def test_rendered_recipe_has_a_smaller_temporal_learning_rate() -> None:
    net = TinyNet(3, 0.0)
    optimiser = make_optimiser(of_recipe("rendered"), net)
    assert type(optimiser) is AdamW
    temporal, rest = optimiser.param_groups
    assert [id(p) for p in temporal["params"]] == [id(p) for p in net.temporal.parameters()]
    assert [id(p) for p in rest["params"]] == [id(p) for part in (net.norm, net.classifier) for p in part.parameters()]
    assert temporal["weight_decay"] == rest["weight_decay"] == 0.05
    rates = learning_rates(of_recipe("rendered", epochs=2), steps=50)
    assert rates[0] == pytest.approx([1e-4 / 25, 4e-4 / 25])
    assert rates[19] == pytest.approx([1e-4, 4e-4])
    assert rates[-1] == pytest.approx([1e-4 / 25e4, 4e-4 / 25e4])
    assert max(rates) == rates[19]


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_of_a_recipe_can_be_overridden(name: str) -> None:
    given = {"learning_rate": 0.5, "temporal_learning_rate": 0.25, "weight_decay": 0.125}
    optional = {"momentum": 0.75, "step_size": 2, "gamma": 0.1, "restart_after": 3, "restart_factor": 1}
    given |= {field: value for field, value in optional.items() if getattr(RECIPES[name], field) is not None}
    settings = of_recipe(name, epochs=6, **given)
    temporal, rest = make_optimiser(settings, TinyNet(3, 0.0)).param_groups
    assert (temporal["lr"], rest["lr"]) == (0.25, 0.5)
    assert temporal["weight_decay"] == rest["weight_decay"] == 0.125
    rates = [rate for _, rate in learning_rates(settings, steps=2)]
    if RECIPES[name].schedule == "one-cycle":
        assert max(rates) == pytest.approx(0.5, rel=0.1)
        return
    assert temporal["momentum"] == rest["momentum"] == 0.75
    cosine = [0.25 * (1 + math.cos(math.pi * epoch / 3)) for epoch in range(3)]
    assert rates == pytest.approx(2 * cosine if name == "daisee" else [0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


@pytest.mark.parametrize(
    ("recipe", "given", "message"),
    [
        ("rendered", {"momentum": 0.9}, "--momentum belongs to the recipes dfew, ferv39k, daisee, not to rendered"),
        ("dfew", {"restart_after": 5}, "--restart-after belongs to the recipes daisee, not to dfew; leave it out"),
        ("daisee", {"gamma": 0.5}, "--gamma belongs to the recipes dfew, ferv39k, not to daisee"),
        ("dfew", {"learning_rate": 0.0}, "--learning-rate: expected a number above 0, got 0.0"),
        ("dfew", {"learning_rate": math.nan}, "--learning-rate: expected a number above 0, got nan"),
        ("dfew", {"temporal_learning_rate": -1.0}, "--temporal-learning-rate: expected a number above 0, got -1.0"),
        ("dfew", {"gamma": math.inf}, "--gamma: expected a number above 0, got inf"),
        ("dfew", {"momentum": 1.0}, "--momentum: expected a number from 0 to below 1, got 1.0"),
        ("dfew", {"weight_decay": -0.1}, "--weight-decay: expected a number from 0, got -0.1"),
        ("dfew", {"step_size": 0}, "--step-size: expected a whole number from 1, got 0"),
        ("daisee", {"restart_factor": 0}, "--restart-factor: expected a whole number from 1, got 0"),
    ],
)
def test_value_that_does_not_apply_to_the_recipe_is_refused(recipe: str, given: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        of_recipe(recipe, **given)


def test_frozen_parameters_are_left_out_of_the_groups() -> None:
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
def test_run_steps_the_schedule_as_often_as_the_recipe_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, moves: int, rate: float | None
) -> None:
    use_tiny_model(monkeypatch)
    run(tiny_settings(tmp_path / "out", recipe=recipe, epochs=8, batch_size=10))
    checkpoint = torch.load(tmp_path / "out" / "last.ckpt", weights_only=True)
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == moves
    if rate is not None:
        assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(rate)


def test_page_has_the_recipes_values_and_marks_ours() -> None:
    page = (Path(__file__).parents[3] / "docs/training.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in row.split("|")] for row in re.findall(r"^\|(.*)\|$", page, re.MULTILINE)]
    table = {row[0]: row[1:3] for row in rows if len(row) == 4}
    for place, name in ((0, "dfew"), (0, "ferv39k"), (1, "daisee")):
        recipe = RECIPES[name]
        for label, value in {
            "optimiser": recipe.optimiser.upper(),
            "learning rate": str(recipe.learning_rate),
            "momentum": str(recipe.momentum),
            "weight decay": str(recipe.weight_decay),
            "batch size": str(recipe.batch_size),
            "epochs": str(recipe.epochs),
            "dropout": f"{recipe.dropout:g}",
        }.items():
            ours = label == "dropout" or (name == "daisee" and label != "batch size")
            assert table[label][place] == (f"*{value}*" if ours else value), (name, label)
    assert table["frames per clip"][0] == "*16: two from each of 8 segments*"
    assert (ON_DISK["frames"], ON_DISK["frames_per_segment"]) == (16, 2)
