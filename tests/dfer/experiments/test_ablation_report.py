"""The ablation's table from results written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from dfer.experiments.ablation_report import markdown, summarise
from dfer.experiments.campaign import Run
from dfer.experiments.drawings import draw_scores
from dfer.experiments.hard_faces import HardFaces, Protocol
from dfer.rendering.hard_clips import CLASSES

MADE_ON = HardFaces(Protocol(), workers=1)

# UAR by row and seed; the first four classes are the directed ones.
SCORES = {"ours": [0.8, 0.7, 0.9], "plain": [0.7, 0.65, 0.75], "mean": [0.85, 0.6, 0.9]}


def result(uar: float) -> dict[str, Any]:
    recall = {name: uar - 0.1 if place < 4 else uar + 0.1 for place, name in enumerate(CLASSES)}
    settings = {**vars(Protocol())}
    return {
        "uar": uar,
        "recall": recall,
        "parameters": 1_234_567,
        "multiply_adds": 98_700_000,
        "settings": settings,
        "versions": {},
        "seconds": 1.5,
    }


RESULTS = {Run(row, seed): result(uar) for row, scores in SCORES.items() for seed, uar in enumerate(scores)}


def test_table_row_matches_its_numbers() -> None:
    table = markdown(summarise(RESULTS, list(SCORES), "ours", MADE_ON))
    # Differences -0.1, -0.05, -0.15: mean -0.1, deviation 0.05, times 4.303 / sqrt(3): 0.124.
    # Both other rows have p 2/8 and 1: times 2 after Holm.
    assert "| plain | 1.235 | 98.70 | 70.0 | 5.0 | 60.0 | 80.0 | -10.0 | -22.4 to +2.4 | 0.250 | 0.500 |" in table
    assert "| ours | 1.235 | 98.70 | 80.0 | 10.0 | 70.0 | 90.0 |  |  |  |  |" in table
    assert "No significant difference from ours: plain, mean. With 3 seeds no p can be below 0.25" in table


def test_all_pairs_have_both_signs() -> None:
    table = markdown(summarise(RESULTS, list(SCORES), "ours", MADE_ON))
    assert "| ours |  | +10.0 (0.250) | +1.7 (1.000) |" in table
    assert "| plain | -10.0 (0.250) |  | -8.3 (0.500) |" in table


def test_without_the_reference_only_pairs_are_compared() -> None:
    some = {run: found for run, found in RESULTS.items() if run.row != "ours"}
    summary = summarise(some, ["plain", "mean"], "ours", MADE_ON)
    assert summary["against_reference"] == []
    assert [(pair["row"], pair["other"]) for pair in summary["pairs"]] == [("plain", "mean")]
    assert "Nothing is tested: that needs ours among the rows" in markdown(summary)


def test_every_seed_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    from matplotlib.axes import Axes

    scatter = Axes.scatter

    def record(axes: Axes, x: Any, y: Any, **kwargs: Any) -> Any:
        drawn.append(x)
        return scatter(axes, x, y, **kwargs)

    monkeypatch.setattr(Axes, "scatter", record)
    draw_scores(tmp_path / "a.png", summarise(RESULTS, list(SCORES), "ours", MADE_ON))
    # From the lowest mean to the highest: the seeds of a row, then their mean.
    assert [list(x) for x in drawn[::2]] == [
        pytest.approx([100 * score for score in SCORES[row]]) for row in ("plain", "mean", "ours")
    ]
    assert drawn[1::2] == [pytest.approx(x) for x in (70, 78.3333, 80)]


def test_committed_table_matches_the_committed_numbers() -> None:
    folder = Path(__file__).parents[3] / "docs/experiments"
    assert (folder / "ablation.md").read_text() == markdown(json.loads((folder / "ablation.json").read_text()))
