"""A stream's step exported and compiled gives the scores of AGDTStream from the first frame on."""

import warnings
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch.export import Dim

from agdt_layers import (
    AdaptiveGlobalAttention,
    AGDTNet,
    AGDTStream,
    StreamStep,
    build_agdtnet,
    insert_attention,
)
from helpers.strategies import random_tensor

WINDOW, SIZE = 3, (3, 32, 32)

NETWORKS = ["causal", "not causal", "own CNN", "timm"]


def causal_attention(channels: int) -> AdaptiveGlobalAttention:
    return AdaptiveGlobalAttention(channels, context_window=WINDOW)


def network(name: str) -> AGDTNet:
    if name in ("causal", "not causal"):
        net = build_agdtnet(5, num_frames=WINDOW, causal=name == "causal")
    else:
        backbone, places = (small_cnn(), ("2", "5")) if name == "own CNN" else (timm_resnet(), ("layer2", "layer3"))
        insert_attention(backbone, dict.fromkeys(places, causal_attention), example_input=torch.zeros(1, *SIZE))
        net = build_agdtnet(5, num_frames=WINDOW, backbone=backbone)
    attention = [m for m in net.modules() if isinstance(m, AdaptiveGlobalAttention)]
    assert len(attention) == 2
    with torch.no_grad():
        for number, parameter in enumerate(p for layer in attention for p in layer.parameters()):
            parameter.add_(random_tensor(tuple(parameter.shape), number, torch.float32), alpha=0.3)
    return net.eval()


def small_cnn() -> nn.Module:
    stages = [[nn.Conv2d(*widths, 3, 2, 1), nn.BatchNorm2d(widths[1]), nn.ReLU()] for widths in ((3, 8), (8, 16))]
    return nn.Sequential(*(layer for stage in stages for layer in stage))


def timm_resnet() -> nn.Module:
    timm = pytest.importorskip("timm")
    return timm.create_model("resnet10t", num_classes=0, global_pool="")


@pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="the exporter of torch before 2.7 refuses a dynamic batch here"
)
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_exported_step_gives_the_scores_of_the_stream(name: str, tmp_path: Path) -> None:
    net, video = network(name), random_tensor((2, 3 * WINDOW, *SIZE), 0, torch.float32)
    step, stream = StreamStep(net, num_frames=WINDOW), AGDTStream(net, num_frames=WINDOW)
    example = (torch.zeros(3, *SIZE), step.initial_state(3))
    batch = Dim("batch")
    sizes = ({0: batch}, {name: {0: batch} for name in example[1]})
    program = torch.export.export(step, example, dynamic_shapes=sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(program, (), tmp_path / "step.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx", providers=["CPUExecutionProvider"])
    exported = program.module()
    own, other = step.initial_state(2), list(step.initial_state(2).values())

    def in_onnx(frames: Tensor, state: list[Tensor]) -> list[Tensor]:
        names = [entry.name for entry in session.get_inputs()]
        values = [x.numpy() for x in (frames, *state)]
        return [torch.from_numpy(x) for x in session.run(None, dict(zip(names, values, strict=True)))]

    for number, frames in enumerate(video.unbind(1)):
        if number == WINDOW + 1:  # the second stream starts anew, and each runtime continues the state of another
            stream.reset([1])
            own["seen"], other[0] = own["seen"] * torch.tensor([1, 0]), other[0] * torch.tensor([1, 0])
            saved = stream.state_dict()
            stream.load_state_dict(own)
            own, other = dict(zip(own, other, strict=True)), list(saved.values())
        expected = stream.push(frames)
        scores, own = exported(frames, own)
        onnx_scores, *other = in_onnx(frames, other)
        for answer in (scores, onnx_scores):
            torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_one_full_graph_serves_every_frame(name: str) -> None:
    net = network(name)
    step, stream = StreamStep(net, num_frames=WINDOW), AGDTStream(net, num_frames=WINDOW)
    torch.compiler.reset()
    graphs = CompileCounter()
    compiled, state = torch.compile(step, backend=graphs, fullgraph=True), step.initial_state(2)
    for frames in random_tensor((2, 3 * WINDOW, *SIZE), 0, torch.float32).unbind(1):
        scores, state = compiled(frames.contiguous(), state)
        torch.testing.assert_close(scores, stream.push(frames), rtol=1e-5, atol=1e-5)
        assert all(kept.is_contiguous() for kept in state.values())
    assert graphs.frame_count == 1
