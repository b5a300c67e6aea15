"""Run one of several processes that exchange tensors with gloo."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def last_exchange(rank: int, processes: int, folder: str) -> Iterator[None]:
    """Join a gloo process group for the block, then exit the process.

    It exits with os._exit, because gloo threads that end late sometimes abort a process during normal shutdown.
    """
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes)
    yield
    dist.barrier()
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
