"""Runs of rows with seeds, each with a file for its result: a second start makes only what is missing."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dfer.atomic_files import whole_file
from dfer.bad_input import BadInput
from dfer.evaluation.published import PublishedScore

Result = dict[str, Any]
"""Of a run: row, seed, settings, uar, war, recall, parameters, multiply_adds, versions, seconds, and more to read."""


class Run(NamedTuple):
    row: str
    seed: int
    fold: int | None = None
    """Of DFEW, in an experiment on all five."""

    @property
    def name(self) -> str:
        return f"{self.row}-seed{self.seed}" + ("" if self.fold is None else f"-fold{self.fold}")


class Experiment(Protocol):
    """What a row is trained and tested on."""

    @property
    def folds(self) -> Sequence[int | None]:
        """A row with a seed is run once for each; None where there is one run."""
        ...

    def published(self, results: Iterable[Result]) -> Mapping[str, PublishedScore]:
        """The paper's scores by row, where `results` are of the same test clips."""
        ...

    def columns(self) -> Mapping[str, Callable[[Result], float]]:
        """Of the table, beside UAR: fractions of a run by the heading of their column."""
        ...

    def settings(self, run: Run) -> dict[str, Any]:
        """What the run's result must say that it was made with, by the names of flags."""
        ...

    def make(self, folder: Path, runs: Sequence[Run]) -> Iterator[Result]:
        """Make the runs, each result in its file before it is yielded."""
        ...

    def method(self, settings: Mapping[str, Any]) -> str:
        """How one run was made, in sentences below the table."""
        ...


def all_runs(rows: Sequence[str], seeds: int, folds: Sequence[int | None] = (None,)) -> list[Run]:
    """Seed by seed: if the time ends early, whole seeds are there to be compared."""
    return [Run(row, seed, fold) for seed in range(seeds) for fold in folds for row in rows]


def finished_runs(folder: Path, runs: Sequence[Run], experiment: Experiment) -> dict[Run, Result]:
    """The results that are there. A run of other settings is refused: rows would differ by more than their names."""
    done: dict[Run, Result] = {}
    for run in runs:
        path = folder / f"{run.name}.json"
        if not path.exists():
            continue
        try:
            result = json.loads(path.read_text())
            settings, made = dict(result["settings"]), Run(result["row"], result["seed"], result.get("fold"))
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"{path} is not the result of a run; delete it, and the run is made again") from None
        other = difference(settings, experiment.settings(run))
        if other is not None or made != run:
            raise BadInput(f"{path} was made with {other or made.name}; give the same settings, or name another --out")
        done[run] = result
    return done


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """The first setting in which a run's record differs, in words, or None."""
    for name, value in wanted.items():
        if found.get(name) != value:
            return f"{flag(name)} {found.get(name)}, not {value}"
    return None


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def write_result(folder: Path, run: Run, result: Result) -> None:
    with whole_file(folder / f"{run.name}.json") as path:
        path.write_text(json.dumps(result, indent=1) + "\n")
