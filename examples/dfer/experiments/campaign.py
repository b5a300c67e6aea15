"""The rows of the ablation, and runs with a file for each result: a second start makes only what is missing."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.evaluation.published import PublishedScore
from dfer.models.registry import AGDTNET_ROWS
from dfer.models.vector_nets import VECTOR_MODELS
from dfer.models.wide_resnet18 import WIDER

REFERENCE = "agdtnet"
SERIES_ROWS, SERIES_REFERENCE = VECTOR_MODELS, "vectors+dtformer"

# Attention after the second and third stage, and what stands over time.
ROWS: Mapping[str, tuple[str, str]] = {**AGDTNET_ROWS, "aga+mean": ("aga", "mean"), WIDER: ("none", "dtformer")}

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


class NamedRun(Protocol):
    """A NamedTuple whose fields stand in the result, and whose name is that of the result's file."""

    @property
    def name(self) -> str: ...

    def _asdict(self) -> dict[str, Any]: ...

    def __hash__(self) -> int: ...


AnyRun = TypeVar("AnyRun", bound=NamedRun)


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


def finished_runs(
    folder: Path, runs: Sequence[AnyRun], settings: Callable[[AnyRun], Mapping[str, Any]]
) -> dict[AnyRun, Result]:
    """The results that are there. A run of other settings is refused: rows would differ by more than their names."""
    done: dict[AnyRun, Result] = {}
    for run in runs:
        path = folder / f"{run.name}.json"
        if not path.exists():
            continue
        try:
            result = json.loads(path.read_text())
            found = dict(result["settings"])
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"{path} is not the result of a run; delete it, and the run is made again") from None
        if other := difference(result, run._asdict()) or difference(found, settings(run)):
            raise BadInput(f"{path} was made with {other}; give the same settings, or choose another --out")
        done[run] = result
    return done


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """The first setting in which a run's record differs, in words, or None."""
    for name, value in wanted.items():
        if found.get(name) != value:
            return f"{name} {found.get(name)}, not {value}"
    return None


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def write_result(folder: Path, run: NamedRun, result: Result) -> None:
    with whole_file(folder / f"{run.name}.json") as path:
        path.write_text(json.dumps(result, indent=1) + "\n")


def make_missing(made_on: Experiment, folder: Path, runs: Sequence[Run]) -> None:
    """Make the runs that have no result yet, with a line for each and a progress bar."""
    done = finished_runs(folder, runs, made_on.settings)
    missing = [run for run in runs if run not in done]
    print(f"{len(runs)} runs, {len(done)} done before; logs and results: {folder.resolve()}")
    bar = Progress(
        TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        task = bar.add_task("runs", total=len(runs), completed=len(done))
        for result in made_on.make(folder, missing) if missing else ():
            bar.advance(task)
            fold = f"  fold {result['fold']}" if result.get("fold") else ""
            print(
                f"{result['row']:>26}  seed {result['seed']}{fold}  UAR {100 * result['uar']:5.1f} %  "
                f"WAR {100 * result['war']:5.1f} %{result['seconds']:6.0f} s"
            )
