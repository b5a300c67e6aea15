"""A stream's step compiled: one full graph serves every frame, and the returned state is contiguous."""

import torch
from torch._dynamo.testing import CompileCounter

from agdt_layers import AGDTStream, StreamStep, build_agdtnet
from helpers.strategies import random_tensor

WINDOW, SIZE = 3, (3, 32, 32)


@torch.no_grad()
def test_one_full_graph_serves_every_frame() -> None:
    net = build_agdtnet(5, num_frames=WINDOW, causal=True).eval()
    step, stream = StreamStep(net, num_frames=WINDOW), AGDTStream(net, num_frames=WINDOW)
    torch.compiler.reset()
    graphs = CompileCounter()
    compiled, state = torch.compile(step, backend=graphs, fullgraph=True), step.initial_state(2)
    for frames in random_tensor((2, 3 * WINDOW, *SIZE), 0, torch.float32).unbind(1):
        scores, state = compiled(frames.contiguous(), state)
        torch.testing.assert_close(scores, stream.push(frames), rtol=1e-5, atol=1e-5)
        assert all(kept.is_contiguous() for kept in state.values())
    assert graphs.frame_count == 1
