"""Results that are there already: taken, or refused in one line."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dfer.errors import BadInput
from dfer.experiments.campaign import Run, all_runs, finished_runs
from dfer.experiments.hard_faces import HardFaces, Protocol

SETTINGS = HardFaces(Protocol(), workers=1).settings
RUNS = all_runs(["a", "b"], 2)


def write(folder: Path, run: Run, **changed: Any) -> None:
    result = {"row": run.row, "seed": run.seed, "settings": asdict(Protocol()), **changed}
    (folder / f"{run.name}.json").write_text(json.dumps(result))


def test_runs_are_ordered_by_seed() -> None:
    assert RUNS == [("a", 0, None), ("b", 0, None), ("a", 1, None), ("b", 1, None)]
    with_folds = [run.name for run in all_runs(["a", "b"], 1, (1, 2))]
    assert with_folds == ["a-seed0-fold1", "b-seed0-fold1", "a-seed0-fold2", "b-seed0-fold2"]


def test_only_existing_results_are_finished(tmp_path: Path) -> None:
    assert finished_runs(tmp_path / "none", RUNS, SETTINGS) == {}
    write(tmp_path, RUNS[2])
    (tmp_path / f"{RUNS[0].name}.log").touch()
    done = finished_runs(tmp_path, RUNS, SETTINGS)
    assert list(done) == [RUNS[2]]
    assert done[RUNS[2]]["row"] == "a"


def test_runs_of_other_settings_are_refused(tmp_path: Path) -> None:
    write(tmp_path, RUNS[1], settings=asdict(Protocol(epochs=7)))
    with pytest.raises(BadInput, match=r"b-seed0.json was made with epochs 7, not 5; give the same settings, or"):
        finished_runs(tmp_path, RUNS, SETTINGS)
    # A run that is not asked for is none of this ablation's business.
    assert finished_runs(tmp_path, all_runs(["a"], 2), SETTINGS) == {}


def test_renamed_result_is_refused(tmp_path: Path) -> None:
    write(tmp_path, RUNS[1], row="a")
    with pytest.raises(BadInput, match=r"b-seed0.json was made with row a, not b"):
        finished_runs(tmp_path, RUNS, SETTINGS)


@pytest.mark.parametrize("text", ["", "[]", '{"row": "a", "seed": 0}', '{"row": "a", "seed": 0, "settings": 3}'])
def test_damaged_result_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a-seed0.json").write_text(text)
    with pytest.raises(BadInput, match=r"a-seed0.json is not the result of a run; delete it"):
        finished_runs(tmp_path, RUNS, SETTINGS)
