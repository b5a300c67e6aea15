"""Run jobs in several processes. If a process dies, its job gets an error and the run continues."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from dfer.errors import BadInput
from dfer.stopping import signals_delayed

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerDied(Exception):
    """The process died during its job, out of memory or from a crash in compiled code."""


def run_jobs(
    start: Callable[[], Callable[[Job], Result]], jobs: Sequence[Job], workers: int
) -> Generator[tuple[Job, Result | Exception], None, None]:
    """Yield every job with its result or exception, in the order of completion.

    `start` is called once in each process and returns the function that runs a job; jobs and `start` are pickled.
    A process that dies gives WorkerDied for its job and is replaced. Closing the iterator ends all processes, and so
    does the death of this process.
    """
    waiting = list(reversed(jobs))
    busy: dict[Connection, tuple[BaseProcess, Job]] = {}

    def give_to_another() -> None:
        with signals_delayed():
            give(*_begin(start))

    def give(process: BaseProcess, connection: Connection) -> None:
        busy[connection] = process, waiting.pop()
        with suppress(OSError):  # a dead process is noticed when its result is read
            connection.send(busy[connection][1])

    try:
        for _ in range(min(workers, len(waiting))):
            give_to_another()
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                process, job = busy.pop(connection)
                try:
                    outcome = connection.recv()
                except (EOFError, OSError):
                    process.join()
                    outcome = WorkerDied(_how(process.exitcode))
                if waiting:
                    give(process, connection) if process.is_alive() else give_to_another()
                else:
                    _end([process])
                yield job, outcome
    finally:
        _end([process for process, _ in busy.values()])


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _begin(start: Callable[[], object]) -> tuple[BaseProcess, Connection]:
    # Not forked: threads and CUDA do not survive a fork.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(start, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _serve(start: Callable[[], Callable[[Job], Result]], connection: Connection) -> None:
    # Ctrl-C reaches every process of the terminal, and a scheduler's SIGTERM every process of the job. The parent
    # decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    do: Callable[[Job], Result] | None = None
    while True:
        try:
            job = connection.recv()
        except EOFError:  # the parent ended before it sent a job
            return
        try:
            do = do or start()
            connection.send(do(job))
        except (BadInput, OSError) as error:
            connection.send(error)
        except Exception as error:
            # Not every exception can be pickled.
            connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was killed by {signal.Signals(-code).name} (out of memory, or a crash in the decoder)"
    return f"its process ended with exit code {code}"
