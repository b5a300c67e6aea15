"""The ablation on rendered faces made hard: narrow nets, many runs at once in worker processes of one thread each."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dfer.atomic_files import remove_partial_files
from dfer.errors import BadInput
from dfer.evaluation.published import PublishedScore
from dfer.experiments.campaign import Result, Run, write_result
from dfer.experiments.protocol import Protocol
from dfer.rendering.hard_clips import CLASSES
from dfer.stopping import signals_delayed

DIRECTED = [name for name in CLASSES if " " in name]
OTHERS = [name for name in CLASSES if " " not in name]


def mean_recall(classes: Collection[str], result: Result) -> float:
    return sum(result["recall"][name] for name in classes) / len(classes)


@dataclass(frozen=True)
class HardFaces:
    protocol: Protocol
    workers: int

    @property
    def folds(self) -> Sequence[int | None]:
        return (None,)

    def published(self, results: Iterable[Result]) -> Mapping[str, PublishedScore]:
        return {}

    def columns(self) -> Mapping[str, Callable[[Result], float]]:
        return {"directed": partial(mean_recall, DIRECTED), "others": partial(mean_recall, OTHERS)}

    def settings(self, run: Run) -> dict[str, Any]:
        return asdict(self.protocol)

    def make(self, folder: Path, runs: Sequence[Run]) -> Iterator[Result]:
        """In the order in which they end."""
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial_files(folder)
        context, futures = multiprocessing.get_context("spawn"), list[Future[Result]]()
        workers = min(self.workers, len(runs))
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_the_parent) as pool:
            try:
                with signals_delayed():  # The pool starts its processes here.
                    futures += (pool.submit(_make, folder, run, self.protocol) for run in runs)
                for future in as_completed(futures):
                    yield future.result()
            except BrokenProcessPool:
                raise BadInput(
                    "a worker was killed, perhaps for lack of memory; the same command makes what is missing"
                ) from None
            finally:
                # What is left unfinished has no file; to wait for it would take minutes. Nothing is cancelled: a pool
                # whose workers end fails every run that waits, and stumbles over one that is cancelled already.
                if len(futures) < len(runs) or not all(future.done() for future in futures):
                    for child in multiprocessing.active_children():
                        child.terminate()

    def method(self, settings: Mapping[str, Any]) -> str:
        s = settings
        return (
            f"Each seed draws its own people: {s['training_people']} to train on, {s['validation_people']} to choose "
            f"the epoch by, {s['test_people']} to test, each showing the eight classes {s['takes']} times, so that WAR "
            f"equals UAR; {s['frames']} frames of {s['size']} x {s['size']}, {s['epochs']} epochs, a backbone of "
            f"{s['width']} channels in its first stage. `directed` is the mean recall of the four classes that only "
            "time tells apart in twos, `others` that of the other four."
        )


def _follow_the_parent() -> None:
    """End with the process that started this one, however that ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _make(folder: Path, run: Run, protocol: Protocol) -> Result:
    # Here, in the worker: the process that starts and reports does without the nets.
    from dfer.experiments.one_run import train_and_test

    with (folder / f"{run.name}.log").open("w", buffering=1) as log, redirect_stdout(log):
        result = train_and_test(protocol, run.row, run.seed)
    write_result(folder, run, result)
    return result
