"""The published figures agree with one another, and stand beside ours only where the clips are the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from dfer.data import daisee, dfew, ferv39k
from dfer.data.clips import ClipSource
from dfer.evaluation.comparable import folds_in_words, why_not_comparable
from dfer.evaluation.evaluated_clips import EvaluatedClips
from dfer.evaluation.published import COSTS, SCORES, PublishedScore, published_war_on_dfew
from dfer.models import AGDTNET_ROWS, MODEL_NAMES
from dfer.training.settings import ClipSettings
from helpers.tiny_runs import coloured_clips

CLASSES = {"dfew": dfew.NAMES, "ferv39k": ferv39k.NAMES, "daisee": daisee.NAMES}
ROWS = [(data, row) for data, rows in SCORES.items() for row in rows]


@pytest.mark.parametrize(("data", "row"), ROWS, ids=[f"{data} {row.system}" for data, row in ROWS])
def test_a_printed_uar_is_the_mean_of_the_printed_recalls(data: str, row: PublishedScore) -> None:
    assert row.source
    if row.recall is not None and row.uar is not None:
        assert len(row.recall) == len(CLASSES[data])
        mean = sum(row.recall) / len(row.recall)
        # The printed recalls are rounded, and means over folds. Where they disagree, a note says so.
        assert mean == pytest.approx(row.uar, abs=0.015) or f"average to {mean:.2f}" in row.note


def test_models_are_named_as_build_model_names_them() -> None:
    for _, row in ROWS:
        assert row.model is None or row.model in MODEL_NAMES
    assert COSTS.keys() <= set(MODEL_NAMES)
    assert all(published_war_on_dfew(name) is not None for name in AGDTNET_ROWS)
    assert published_war_on_dfew("resnet18-lstm-dfew") is None, "none is known to be of this definition"


def clips(count: int, *, fold: int = 1, parts: str = "official", **source: Path | str) -> EvaluatedClips:
    values = {"labels": None, "frames": 2, "frames_per_segment": None, "size": 16, "fold": fold, "daisee_parts": parts}
    place = {"frames_root": Path("x")} if "daisee" in source else {}
    settings = ClipSettings(**{**values, **source, **place})  # type: ignore[arg-type]
    no_frames: ClipSource = coloured_clips([0])
    return EvaluatedClips(no_frames, (0,) * count, ("x",) * count, settings, True, ())


def test_the_published_test_clips_are_comparable() -> None:
    folds = [clips(n, fold=f, dfew=Path("x")) for f, n in enumerate((2341, 2341, 2340, 2339, 2336), 1)]
    assert why_not_comparable(folds) is None
    assert why_not_comparable(folds[2:3]) is None
    assert why_not_comparable([clips(7847, ferv39k=Path("x"))]) is None
    assert why_not_comparable([clips(661, parts="paper", daisee=Path("x"))]) is None
    assert folds_in_words(folds) == "Published and measured rows are means over the five folds."
    assert folds_in_words(folds[1:3]) == "Published rows are means over the five folds; measured here: fold 2, 3 alone."


def test_other_clips_are_not_and_one_sentence_says_why() -> None:
    fold = clips(2341, dfew=Path("x"))
    for runs, why in (
        ([clips(280, labels="expressions")], r"these clips are rendered faces (expressions)."),
        ([clips(9, list=Path("a"), test_list=Path("mine.txt"))], "these clips are the list mine.txt."),
        ([fold, clips(280, labels="direction")], "these clips are rendered faces (direction)."),
        ([fold, clips(7847, ferv39k=Path("x"))], "these runs are tested on several."),
        ([clips(7, dfew=Path("x"))], "DFEW, fold 1 has 2341 published test clips, these are 7."),
        ([replace(fold, truths=(0,) * 2340)], "has 2341 published test clips, these are 2340."),
        ([clips(661, daisee=Path("x"))], "the paper's test part is DAiSEE's folder Validation (--daisee-parts paper)"),
    ):
        told = why_not_comparable(runs)
        assert told is not None
        assert why in told
        assert told.count(". ") == 0
