"""torch.compile: one full graph for all B, T, H and W above 1, forward and backward.

Models with convolutions recompile once when B T crosses 16.
"""

import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from agdt_layers import AdaptiveGlobalAttention, DTFormer
from helpers.agreement import gradients
from helpers.strategies import end_padding, random_tensor
from helpers.subjects import LAYERS, Subject, proves


def leaves_of(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    return {"x": x.requires_grad_(), **{n: p for n, p in layer.named_parameters() if p.requires_grad}}


def assert_compiles_once(layer: nn.Module, inputs: list[Tensor], backend: str = "eager") -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(layer, backend=counter, fullgraph=True, dynamic=True)
    for number, x in enumerate(inputs):
        before = counter.frame_count
        leaves = leaves_of(layer, x)
        out, expected = compiled(x), layer(x)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
        wanted = gradients(expected, leaves)
        for name, gradient in gradients(out, leaves).items():
            scale = float(wanted[name].abs().max())
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5 * scale)
        assert number == 0 or counter.frame_count == before, f"{tuple(x.shape)} caused a recompilation"


@proves("torch.compile", *LAYERS)
def test_one_graph_for_every_size(subject: Subject) -> None:
    # For any model, torch compiles further graphs if an axis is 1 and, with convolutions, below 16 frames.
    first, *_ = subject.sizes
    sizes = [tuple(size + extra * (axis in subject.dynamic) for axis, size in enumerate(first)) for extra in (4, 5)]
    assert_compiles_once(subject.build(), [random_tensor(size, 0, torch.float32) for size in sizes])


@proves("torch.compile", "AGDTNet")
def test_network_reuses_one_graph_from_16_frames_on(subject: Subject) -> None:
    # Below 16 frames (B T), torch selects other convolutions and recompiles any model.
    sizes = ((2, 8, 3, 32, 48), (4, 5, 3, 32, 48), (5, 7, 3, 32, 48))
    assert_compiles_once(subject.build(), [random_tensor(size, 0, torch.float32) for size in sizes])


@proves("torch.compile", "AdaptiveGlobalAttention")
def test_generated_code_gives_the_same_numbers(subject: Subject) -> None:
    assert_compiles_once(subject.build(), subject.inputs()[:1], "inductor")


def test_clip_of_one_frame_compiles() -> None:
    for layer, size in (
        (AdaptiveGlobalAttention(5), (2, 1, 5, 7, 11)),
        (DTFormer(5, depth=1, heads=1, mlp_channels=6, max_frames=4), (2, 1, 5)),
    ):
        assert_compiles_once(layer, [random_tensor(size, 0, torch.float32)])


def test_mask_does_not_break_the_graph() -> None:
    torch._dynamo.reset()
    layer = AdaptiveGlobalAttention(5)
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(layer, backend=counter, fullgraph=True, dynamic=True)
    for lengths, frames in (([3, 2, 1, 3, 3, 2], 3), ([4, 1, 4, 6], 6)):
        x, mask = random_tensor((len(lengths), frames, 5, 7, 11), 0, torch.float32), end_padding(lengths, frames)
        torch.testing.assert_close(compiled(x, mask=mask), layer(x, mask=mask))
    assert counter.frame_count == 1
