"""Many runs in worker processes, each with a file for its result: a second start makes only what is missing."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from dfer.atomic_files import remove_partial_files, whole_file
from dfer.bad_input import BadInput
from dfer.experiments.protocol import Protocol
from dfer.stopping import signals_delayed


class Run(NamedTuple):
    row: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.row}-seed{self.seed}"


def all_runs(rows: Sequence[str], seeds: int) -> list[Run]:
    """Seed by seed: if the time ends early, whole seeds are there to be compared."""
    return [Run(row, seed) for seed in range(seeds) for row in rows]


def finished_runs(folder: Path, runs: Sequence[Run], protocol: Protocol) -> dict[Run, dict[str, Any]]:
    """The results that are there. A run of other settings is refused: rows would differ by more than their names."""
    done: dict[Run, dict[str, Any]] = {}
    for run in runs:
        path = folder / f"{run.name}.json"
        if not path.exists():
            continue
        try:
            result = json.loads(path.read_text())
            settings, made = dict(result["settings"]), Run(result["row"], result["seed"])
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"{path} is not the result of a run; delete it, and the run is made again") from None
        other = protocol.difference(settings)
        if other is not None or made != run:
            raise BadInput(f"{path} was made with {other or made.name}; give the same settings, or name another --out")
        done[run] = result
    return done


def make_runs(folder: Path, runs: Sequence[Run], protocol: Protocol, workers: int) -> Iterator[dict[str, Any]]:
    """Make the runs, each result in its file before it is yielded, in the order in which they end."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_partial_files(folder)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(runs)), mp_context=context, initializer=_follow_the_parent) as pool:
        futures: list[Future[dict[str, Any]]] = []
        try:
            with signals_delayed():  # The pool starts its processes here.
                futures += (pool.submit(_make, folder, run, protocol) for run in runs)
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise BadInput(
                "a worker was killed, perhaps for lack of memory; the same command makes what is missing"
            ) from None
        finally:
            # What is left unfinished has no file; to wait for it would take minutes. Nothing is cancelled: a pool whose
            # workers end fails every run that waits, and stumbles over one that is cancelled already.
            if len(futures) < len(runs) or not all(future.done() for future in futures):
                for child in multiprocessing.active_children():
                    child.terminate()


def _follow_the_parent() -> None:
    """End with the process that started this one, however that ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _make(folder: Path, run: Run, protocol: Protocol) -> dict[str, Any]:
    # Here, in the worker: the process that starts and reports does without the nets.
    from dfer.experiments.one_run import train_and_test

    with (folder / f"{run.name}.log").open("w", buffering=1) as log, redirect_stdout(log):
        result = train_and_test(protocol, run.row, run.seed)
    with whole_file(folder / f"{run.name}.json") as path:
        path.write_text(json.dumps(result, indent=1) + "\n")
    return result
