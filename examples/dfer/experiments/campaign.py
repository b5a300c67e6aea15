"""The rows of the ablation, and runs with one result file each, so that only missing runs are made."""

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

# Attention after the second and third stage, and the temporal encoder.
ROWS: Mapping[str, tuple[str, str]] = {**AGDTNET_ROWS, "aga+mean": ("aga", "mean"), WIDER: ("none", "dtformer")}

Result = dict[str, Any]
"""Of a run: row, seed, settings, uar, war, recall, parameters, multiply_adds, versions, seconds and other facts."""


class Run(NamedTuple):
    row: str
    seed: int
    fold: int | None = None
    """In an experiment on all folds of DFEW."""

    @property
    def name(self) -> str:
        return f"{self.row}-seed{self.seed}" + ("" if self.fold is None else f"-fold{self.fold}")


class NamedRun(Protocol):
    """A NamedTuple whose fields are in the result, and whose name is that of the result's file."""

    @property
    def name(self) -> str: ...

    def _asdict(self) -> dict[str, Any]: ...

    def __hash__(self) -> int: ...


AnyRun = TypeVar("AnyRun", bound=NamedRun)


class Experiment(Protocol):
    """The clips that rows are trained and tested on."""

    @property
    def folds(self) -> Sequence[int | None]:
        """Each row and seed has one run per fold; None stands for a single run."""
        ...

    def published(self, results: Iterable[Result]) -> Mapping[str, PublishedScore]:
        """The paper's scores by row if `results` are of the same test clips, else empty."""
        ...

    def columns(self) -> Mapping[str, Callable[[Result], float]]:
        """Further columns of the table: heading, and fraction of a run."""
        ...

    def settings(self, run: Run) -> dict[str, Any]:
        """The settings that the run's result must record, by name of flag."""
        ...

    def make(self, folder: Path, runs: Sequence[Run]) -> Iterator[Result]:
        """Make the runs. Each result is in its file before it is yielded."""
        ...

    def method(self, settings: Mapping[str, Any]) -> str:
        """Sentences below the table that describe one run."""
        ...


def all_runs(rows: Sequence[str], seeds: int, folds: Sequence[int | None] = (None,)) -> list[Run]:
    """Ordered by seed, so that whole seeds can be compared if the time ends early."""
    return [Run(row, seed, fold) for seed in range(seeds) for fold in folds for row in rows]


def finished_runs(
    folder: Path, runs: Sequence[AnyRun], settings: Callable[[AnyRun], Mapping[str, Any]]
) -> dict[AnyRun, Result]:
    """The existing results. Raises BadInput for a run with other settings, whose rows would not be comparable."""
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


def refuse_other_clips(results: Iterable[Result]) -> None:
    """Each fold must have the same test clips in all runs, and each seed of it the same training clips."""
    seen: dict[tuple[Any, ...], str] = {}
    for result in results:
        fold, seed = result.get("fold"), result["seed"]
        for part, key in (("test", (fold,)), ("training", (fold, seed))):
            digest = result.get("clips_sha256", {}).get(part)
            if digest and seen.setdefault((part, *key), digest) != digest:
                raise BadInput(
                    f"{result['row']} seed {seed}: its {part} clips differ from those of other runs; restore them "
                    "and delete this run, or choose another --out"
                )


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """The first setting that differs, in words, or None."""
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
    """Make the runs that have no result yet. Print a line for each and show a progress bar."""
    done = finished_runs(folder, runs, made_on.settings)
    missing = [run for run in runs if run not in done]
    print(f"{len(runs)} runs, {len(done)} done before; logs and results: {folder.resolve()}")
    bar = Progress(
        TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        task = bar.add_task("runs", total=len(runs), completed=len(done))
        refuse_other_clips(results := list(done.values()))
        for result in made_on.make(folder, missing) if missing else ():
            results.append(result)
            refuse_other_clips(results)
            bar.advance(task)
            fold = f"  fold {result['fold']}" if result.get("fold") else ""
            print(
                f"{result['row']:>26}  seed {result['seed']}{fold}  UAR {100 * result['uar']:5.1f} %  "
                f"WAR {100 * result['war']:5.1f} %{result['seconds']:6.0f} s"
            )
