"""The order in which clips are drawn is the recipe's, unless a flag says otherwise."""

from pathlib import Path

import pytest

from dfer.data.clips import EpochOrder
from dfer.training.device import Processes
from dfer.training.loading import BalancedOrder, make_loaders
from helpers.tiny_runs import tiny_data, tiny_settings


@pytest.mark.parametrize(
    ("recipe", "balanced", "order"),
    [
        ("dfew", None, EpochOrder),
        ("daisee", None, BalancedOrder),
        ("dfew", True, BalancedOrder),
        ("daisee", False, EpochOrder),
    ],
)
def test_recipe_and_flag_select_the_order(tmp_path: Path, recipe: str, balanced: bool | None, order: type) -> None:
    training = tiny_settings(tmp_path, recipe=recipe, balanced=balanced).training
    loaders = make_loaders(tiny_data(), training, Processes(), epochs_done=4)
    assert type(loaders.training.batch_sampler.sampler) is order
    # What a resumed run asks for first is of the epoch in which it goes on.
    assert {key[0] for batch in loaders.training.batch_sampler for key, _ in batch} == {4}
    assert [len(batch) for batch in loaders.training.batch_sampler] == [8, 8, 4]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loading_processes_are_kept_between_epochs(tmp_path: Path, workers: int) -> None:
    # One epoch of a small set is over sooner than a process has started.
    training = tiny_settings(tmp_path, recipe="dfew", workers=workers).training
    loaders = make_loaders(tiny_data(), training, Processes(), epochs_done=0)
    assert all(loader.persistent_workers == (workers > 0) for loader in loaders)
