"""DDP: two processes with half of the clips each compute the gradients of one process with all clips."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from helpers.gloo import last_exchange
from helpers.strategies import random_tensor
from helpers.subjects import SUBJECTS, Subject, proves

PROCESSES = 2


def layer_and_clips(name: str) -> tuple[nn.Module, Tensor]:
    """Return the same in every process, in eval mode, because half a batch has other batch-norm statistics."""
    torch.manual_seed(0)
    layer, size = SUBJECTS[name].build(), SUBJECTS[name].sizes[0]
    return layer.double().eval(), random_tensor((4, *size[1:]), 0)


def gradients_of(layer: nn.Module, clips: Tensor) -> dict[str, Tensor]:
    layer(clips).square().flatten(1).mean(dim=1).mean().backward()
    return {n.removeprefix("module."): p.grad for n, p in layer.named_parameters() if p.grad is not None}


def work(rank: int, names: tuple[str, ...], folder: str) -> None:
    with last_exchange(rank, PROCESSES, folder):
        for name in names:
            layer, clips = layer_and_clips(name)
            share = gradients_of(DistributedDataParallel(layer), clips.chunk(PROCESSES)[rank])
            torch.save(share, f"{folder}/{name} {rank}.pt")


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save every process's gradients of every layer, starting the processes once."""
    folder = tmp_path_factory.mktemp("shares")
    torch.multiprocessing.spawn(work, (tuple(SUBJECTS), str(folder)), nprocs=PROCESSES)
    return folder


@proves("DDP")
def test_two_processes_have_the_gradients_of_one(
    subject: Subject, shares: Path, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    expected = gradients_of(*layer_and_clips(name))
    assert expected
    for rank in range(PROCESSES):
        share = torch.load(shares / f"{name} {rank}.pt", weights_only=True)
        assert share.keys() == expected.keys()
        for key, gradient in share.items():
            scale = float(expected[key].abs().max())
            torch.testing.assert_close(gradient, expected[key], rtol=1e-9, atol=1e-12 * scale)
