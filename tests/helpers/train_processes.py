"""Run train.py in separate processes, forked from a server that has already imported everything."""

import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

from helpers.tiny_runs import add_tiny_model

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["dfer.training.run", "train", "helpers.tiny_runs"])


def _start_server() -> None:
    """Start the server with PYTHONPATH set; otherwise its imports fail silently and every process starts slowly."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _train(arguments: list[str], printed: Path, largest_file: int | None, environment: dict[str, str]) -> None:
    import train

    os.environ.update(environment)
    # Start the loaders of clips as a normal run of train.py does. Started from a fork server, like this process, they
    # would outlive it when it is killed.
    multiprocessing.set_start_method(None, force=True)

    # Children started with & in a shell ignore SIGINT. Restore the behaviour of a terminal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with printed.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    add_tiny_model()
    sys.exit(train.main(arguments))


def start(
    arguments: list[str],
    printed: Path,
    *,
    largest_file: int | None = None,
    environment: dict[str, str] | None = None,
) -> BaseProcess:
    """Start train.py with its output redirected to a file. `largest_file` limits file sizes, like a full disk."""
    _start_server()
    process = CONTEXT.Process(target=_train, args=(arguments, printed, largest_file, environment or {}))
    process.start()
    return process


def start_together(arguments: list[str], printed: list[Path]) -> list[BaseProcess]:
    """Start one process per file with the environment that torchrun sets, but without torchrun's supervision."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    count = str(len(printed))
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": count, "GROUP_RANK": "0"}
    environment |= {"LOCAL_WORLD_SIZE": count, "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
    return [
        start(arguments, file, environment={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank, file in enumerate(printed)
    ]


def finished(process: BaseProcess) -> int:
    process.join(timeout=120)
    assert process.exitcode is not None, "the run did not finish"
    return process.exitcode


def wait_for(condition: Callable[[], bool], process: BaseProcess) -> None:
    while not condition():
        assert process.is_alive(), "the run ended early"
        time.sleep(0.005)
