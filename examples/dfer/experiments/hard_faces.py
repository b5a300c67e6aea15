"""The ablation on rendered faces made hard: narrow nets, many runs at once in worker processes of one thread each."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from dfer.atomic_files import remove_partial_files
from dfer.errors import BadInput
from dfer.evaluation.published import PublishedScore
from dfer.experiments.campaign import Result, Run, flag, write_result
from dfer.rendering.hard_clips import CLASSES
from dfer.stopping import signals_delayed

DIRECTED = [name for name in CLASSES if " " in name]
OTHERS = [name for name in CLASSES if " " not in name]


def described(default: int, text: str, least: int) -> Any:
    return field(default=default, metadata={"help": text, "least": least})


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What all runs share: the command line, its help and each result come from it.

    A seed decides the people, the start weights, the order and the dropout of a run; the rest is this.
    """

    training_people: int = described(40, "people to train on", 1)
    validation_people: int = described(6, "people by whom the epoch is chosen", 1)
    test_people: int = described(20, "people who are tested", 1)
    takes: int = described(3, "clips of each class by each person", 1)
    frames: int = described(4, "frames of a clip", 2)
    size: int = described(40, "side of a frame in pixels", 32)
    width: int = described(16, "channels of the backbone's first stage; a ResNet18 has 64", 8)
    epochs: int = described(5, "passes over the training clips", 1)
    batch_size: int = described(16, "clips of a step", 2)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, least = getattr(self, entry.name), entry.metadata["least"]
            if value < least:
                raise BadInput(f"{flag(entry.name)}: expected a whole number from {least}, got {value}")
        if self.width % 8:
            raise BadInput(f"--width: expected a multiple of 8, the heads of the encoder, got {self.width}")


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
    from dfer.experiments.hard_face_runs import train_and_test

    with (folder / f"{run.name}.log").open("w", buffering=1) as log, redirect_stdout(log):
        result = train_and_test(protocol, run.row, run.seed)
    write_result(folder, run, result)
    return result
