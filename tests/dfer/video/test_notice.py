"""What the notice says about weights, by the name of the data set that train.py writes into their file."""

from pathlib import Path
from typing import Any

import pytest

from dfer.training.settings import ClipSettings, trained_on
from dfer.video.notice import headline, recalls_in_words, trained_on_drawings
from helpers.made_rows import facts

FOLDER = Path("data")


def name_of_data_set(**source: Any) -> str:
    return trained_on(ClipSettings(**{"labels": None, "frames": 4, "frames_per_segment": None, "size": 32, **source}))


@pytest.mark.parametrize(
    "source",
    [
        {"dfew": FOLDER},
        {"ferv39k": FOLDER, "frames_per_segment": 1},
        {"daisee": FOLDER, "frames_root": FOLDER},
        {"ravdess": FOLDER},
        {"crema_d": FOLDER},
    ],
    ids=lambda source: next(iter(source)),
)
def test_recalls_are_shown_for_data_sets_of_people(source: dict[str, Any]) -> None:
    name = name_of_data_set(**source)
    weights = facts(trained_on=name)
    assert f"trained on {name}; on its test clips UAR" in headline(weights)
    assert recalls_in_words(weights).startswith("Recall by class: ")


@pytest.mark.parametrize("source", [{"labels": "expressions"}, {"list": FOLDER / "clips.txt", "test_list": FOLDER}])
def test_recalls_are_hidden_for_drawings_and_unknown_clips(source: dict[str, Any]) -> None:
    weights = facts(trained_on=name_of_data_set(**source))
    assert trained_on_drawings(weights) == ("labels" in source)
    assert "UAR" not in headline(weights)
    assert recalls_in_words(weights).startswith("No recalls are shown")
