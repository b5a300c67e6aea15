"""FSDP2: with parameters sharded by module or by Linear, gradients equal those of one process."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from helpers.gloo import last_exchange
from helpers.strategies import random_tensor
from helpers.subjects import SUBJECTS, Subject, proves

fsdp = pytest.importorskip("torch.distributed.fsdp")
if not hasattr(torch.cpu.Stream, "record_event"):
    pytest.skip("fully_shard needs an accelerator before torch 2.7", allow_module_level=True)

PROCESSES = 2
NAMES = ("AdaptiveGlobalAttention", "DifferentialTemporalEnhancer", "DTFormer", "AGDTNet", "FrameWise")
CUTS = ("whole", "each part")


def layer_and_clips(name: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    layer, size = SUBJECTS[name].build(), SUBJECTS[name].sizes[0]
    return layer.double().eval(), random_tensor((4, *size[1:]), 0)


def gradients_of(layer: nn.Module, clips: torch.Tensor) -> dict[str, torch.Tensor]:
    layer(clips).square().flatten(1).mean(dim=1).mean().backward()
    gradients = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
    return {name: g.full_tensor() if hasattr(g, "full_tensor") else g for name, g in gradients.items()}


def work(rank: int, folder: str) -> None:
    with last_exchange(rank, PROCESSES, folder):
        mesh = dist.device_mesh.init_device_mesh("cpu", (PROCESSES,))
        for name in NAMES:
            for cut in CUTS:
                layer, clips = layer_and_clips(name)
                if cut == "each part":
                    for module in layer.modules():
                        if isinstance(module, (nn.Linear, nn.Conv1d)):
                            fsdp.fully_shard(module, mesh=mesh)
                fsdp.fully_shard(layer, mesh=mesh)
                share = gradients_of(layer, clips.chunk(PROCESSES)[rank])
                torch.save(share, f"{folder}/{name} {cut} {rank}.pt")


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=PROCESSES)
    return folder


@proves("FSDP2", *NAMES)
@pytest.mark.parametrize("cut", CUTS)
def test_sharded_gradients_equal_those_of_one_process(
    subject: Subject, cut: str, shares: Path, request: pytest.FixtureRequest
) -> None:
    name = next(name for name in NAMES if SUBJECTS[name] is subject)
    expected = gradients_of(*layer_and_clips(name))
    for rank in range(PROCESSES):
        share = torch.load(shares / f"{name} {cut} {rank}.pt", weights_only=True)
        assert share.keys() == expected.keys()
        for key, gradient in share.items():
            scale = float(expected[key].abs().max())
            torch.testing.assert_close(gradient, expected[key], rtol=1e-9, atol=1e-12 * scale, msg=key)
