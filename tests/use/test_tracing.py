"""torch.fx, torch.jit and the older ONNX exporter: valid for every size, or a one-line error."""

import re

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn

from agdt_layers import (
    CBAM,
    AGDTNet,
    FrameWise,
    ResNet18,
    SqueezeExcitation,
    TemporalMean,
    build_agdtnet,
    insert_attention,
)
from helpers.hosts import host
from helpers.strategies import end_padding, random_tensor
from helpers.subjects import LAYERS, Subject, proves


@proves("fx", *LAYERS)
def test_layer_is_one_node_valid_for_every_size(subject: Subject) -> None:
    model = nn.Sequential(subject.build(), nn.Identity()).eval()
    traced = fx.symbolic_trace(model)
    assert [node.op for node in traced.graph.nodes if node.op == "call_module"][:1] == ["call_module"]
    assert isinstance(traced.get_submodule("0"), type(model[0]))
    for x in subject.inputs():
        assert torch.equal(traced(x), model(x))


@pytest.mark.parametrize("layer", [CBAM(5), SqueezeExcitation(5)])
def test_baseline_attention_is_one_node(layer: nn.Module) -> None:
    traced, x = fx.symbolic_trace(nn.Sequential(layer)), random_tensor((2, 5, 3, 4), 0, torch.float32)
    assert torch.equal(traced(x), nn.Sequential(layer)(x))


def test_temporal_mean_is_one_node() -> None:
    x = random_tensor((2, 3, 5), 0, torch.float32)
    assert torch.equal(fx.symbolic_trace(nn.Sequential(TemporalMean()))(x), x.mean(dim=1))


@pytest.mark.proves("FrameWise", "fx of a part")
def test_framewise_passes_num_frames_and_mask_to_a_traced_model() -> None:
    model = nn.Sequential(host().sequential, host().own)
    insert_attention(model, ["0", "1"], example_input=torch.zeros(2, 3, 16, 24))
    net, traced = FrameWise(model), FrameWise(fx.symbolic_trace(model))
    for num_frames in (1, 3, 4):
        x = random_tensor((2, num_frames, 3, 16, 24), num_frames, torch.float32)
        torch.testing.assert_close(traced(x), net(x))
    mask = end_padding([4, 2], 4)
    torch.testing.assert_close(traced(x, mask=mask), net(x, mask=mask))


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (lambda: build_agdtnet(num_frames=4), "AGDTNet cannot be traced by torch.fx. Trace the backbone"),
        (lambda: FrameWise(ResNet18()), "FrameWise cannot be traced by torch.fx. Trace the model inside"),
    ],
)
def test_tracing_a_model_that_folds_clips_raises(model, advice: str) -> None:
    with pytest.raises(TypeError, match=re.escape(advice)):
        fx.symbolic_trace(model())


@proves("jit.trace")
@pytest.mark.filterwarnings("ignore")
def test_jit_trace_is_valid_for_every_size(subject: Subject) -> None:
    layer, inputs = subject.build().eval(), subject.inputs()
    with torch.no_grad():
        traced = torch.jit.trace(layer, (inputs[0],), check_trace=False)
        for x in inputs:
            torch.testing.assert_close(traced(x), layer(x), rtol=1e-5, atol=1e-5)


@proves("jit.script (refused)")
@pytest.mark.filterwarnings("ignore")
def test_jit_script_raises_a_one_line_error(subject: Subject) -> None:
    layer = subject.build()
    sentence = f"^{type(layer).__name__} does not support torch.jit.script. Use torch.export.$"
    with pytest.raises(TypeError, match=sentence):
        torch.jit.script(layer)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.proves("AGDTNet", "ONNX (dynamo=False)")
def test_older_onnx_exporter_fixes_only_the_number_of_frames(tmp_path) -> None:
    net: AGDTNet = build_agdtnet(3, num_frames=4).eval()
    clips, file = random_tensor((2, 4, 3, 64, 64), 0, torch.float32), str(tmp_path / "net.onnx")
    axes = {"clips": {0: "batch", 1: "frames", 3: "height", 4: "width"}}
    torch.onnx.export(net, (clips,), file, dynamo=False, input_names=["clips"], dynamic_axes=axes, opset_version=17)
    session = onnxruntime.InferenceSession(file)

    def scores(x: Tensor) -> np.ndarray:
        return session.run(None, {"clips": x.numpy()})[0]

    for x in (clips, random_tensor((3, 4, 3, 64, 96), 1, torch.float32)):
        np.testing.assert_allclose(scores(x), net(x).detach().numpy(), rtol=1e-4, atol=1e-4)
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        scores(clips[:, :3])
