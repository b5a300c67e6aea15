"""A few kills of every recipe; tests/kill_runs.py does any number."""

import random
from pathlib import Path

import pytest

from dfer.training.recipes import RECIPES
from helpers.killing import arguments, kill_and_compare
from helpers.tiny_runs import write_coloured_lists


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_runs_end_with_the_same_weights(tmp_path: Path, recipe: str) -> None:
    clips = write_coloured_lists(tmp_path / "clips")
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    flags = arguments(clips, recipe, model="tiny", epochs=4, workers=0)
    assert len(kill_and_compare(flags, tmp_path, kills=2, draw=random.Random(seed))) == 2
