import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from agdt_layers import StreamStep, build_agdtnet
from dfer.benchmarking import deployed
from dfer.benchmarking.deployed import Deployable, Deployment, deployed_rows, folded, in_onnxruntime


class Net(nn.Module):
    """A clip model that exports and compiles in seconds."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, 2)

    def forward(self, clips: Tensor) -> Tensor:
        maps = self.backbone(clips.flatten(0, 1))
        return self.classifier(maps.mean(dim=(2, 3)).unflatten(0, clips.shape[:2]).mean(dim=1))


def small_step() -> Deployable:
    step = StreamStep(build_agdtnet(num_frames=3, causal=True).eval(), num_frames=3)
    state = step.initial_state(1)
    batch = {0: Dim.DYNAMIC}
    return Deployable(step, (torch.rand(1, 3, 32, 32), state), (batch, dict.fromkeys(state, batch)))


def test_every_network_is_measured_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = torch.randn(1, 4, 3, 8, 8)
    nets = {(name, "a clip"): Deployable(Net(width).eval(), (clips,), ({0: Dim.DYNAMIC},))
            for name, width in (("AGDTNet", 3), ("Former-DFER", 5))}  # fmt: skip
    monkeypatch.setattr(deployed, "deployables", lambda device: nets)
    found = deployed.deployments("cpu", 0.0)
    forms = ["eager", "folded", "compiled", "bfloat16", "ONNX Runtime"]
    assert {(each.network, each.what, each.form) for each in found} == {(*key, form) for key in nets for form in forms}
    assert all(each.milliseconds > 0 for each in found)


def test_onnx_runtime_matches_the_step_and_its_state() -> None:
    given = small_step()
    scores, *state = in_onnxruntime(given)()
    with torch.no_grad():
        expected, after = given.net(*given.inputs)
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)
    for one, other in zip(state, after.values(), strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


def test_folding_keeps_the_scores_of_a_step() -> None:
    given = small_step()
    step = folded(given.net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in step.modules())
    with torch.no_grad():
        torch.testing.assert_close(step(*given.inputs)[0], given.net(*given.inputs)[0], rtol=1e-4, atol=1e-5)


def test_measured_networks() -> None:
    names = [f"{name}, {what}" for name, what in deployed.deployables("cpu")]
    assert names == ["AGDTNet, a clip", "ResNet18 + mean, a clip", "Former-DFER, a clip",
                     "AGDTNet's stream, a frame", "ResNet18 alone, a frame"]  # fmt: skip


def test_rows_compare_only_onnx_runtime() -> None:
    times = {"AGDTNet": 40.0, "ResNet18 + mean": 32.0, "Former-DFER": 50.0, "AGDTNet's stream": 6.0,
             "ResNet18 alone": 4.0}  # fmt: skip
    rows = list(deployed_rows([Deployment(name, "", "ONNX Runtime", time) for name, time in times.items()]))
    assert [(row.ratio, row.bound) for row in rows] == [(1.25, None), (0.8, None), (1.5, 1.65)]
    assert not list(deployed_rows([Deployment("AGDTNet", "", "eager", 1.0)]))
