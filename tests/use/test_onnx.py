"""ONNX: ONNX Runtime reproduces the layer's output, also at sizes other than the traced one."""

import warnings
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from agdt_layers import AdaptiveGlobalAttention
from helpers.strategies import random_tensor
from helpers.subjects import Subject, proves

OVER_TIME = ("DifferentialTemporalEnhancer", "DTFormer", "AGDTNet", "FrameWise")


def written(layer: nn.Module, x: Tensor, dynamic: tuple[int, ...], path: Path) -> onnxruntime.InferenceSession:
    with warnings.catch_warnings():
        # The warnings come from the exporter, not from the layers.
        warnings.simplefilter("ignore")
        sizes = (dict.fromkeys(dynamic, Dim.AUTO),)
        torch.onnx.export(layer, (x,), path, dynamo=True, dynamic_shapes=sizes, verbose=False)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, x: Tensor) -> Tensor:
    (entry,) = session.get_inputs()
    (result,) = session.run(None, {entry.name: x.numpy()})
    return torch.from_numpy(result)


@proves("ONNX")
@torch.no_grad()
def test_exported_file_is_valid_for_other_sizes(
    subject: Subject, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.id in OVER_TIME and not hasattr(torch.compiler, "is_exporting"):
        pytest.skip("the exporter cannot keep the number of frames dynamic before torch 2.7")
    layer = subject.build()
    traced, *others = subject.inputs()
    session = written(layer, traced, subject.dynamic, tmp_path / "layer.onnx")
    for x in (traced, *others):
        # The runtimes sum in different orders, which leaves about six digits in a float32 network this deep.
        torch.testing.assert_close(run(session, x), layer(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_folded_frames_export(tmp_path: Path) -> None:
    layer = AdaptiveGlobalAttention(5, num_frames=3)
    session = written(layer, random_tensor((6, 5, 7, 11), 0, torch.float32), (0, 2, 3), tmp_path / "layer.onnx")
    for clips in (1, 4):
        x = random_tensor((3 * clips, 5, 4, 2), clips, torch.float32)
        torch.testing.assert_close(run(session, x), layer(x))
