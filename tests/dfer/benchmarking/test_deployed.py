"""Networks as they are deployed: the forms, their ratios, and onnxruntime in a process of its own."""

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from dfer.benchmarking import deployed
from dfer.benchmarking.deployed import Deployment, deployed_rows, in_onnxruntime, write_onnx
from dfer.benchmarking.rows import Settings


class Net(nn.Module):
    """A network of clips that is exported and compiled in seconds."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, 2)

    def forward(self, clips: Tensor) -> Tensor:
        maps = self.backbone(clips.flatten(0, 1))
        return self.classifier(maps.mean(dim=(2, 3)).unflatten(0, clips.shape[:2]).mean(dim=1))


def test_every_network_stands_in_every_form(monkeypatch) -> None:
    nets = {"AGDTNet": Net().eval(), "Former-DFER": Net(5).eval()}
    monkeypatch.setattr(deployed, "networks", lambda device: nets)
    monkeypatch.setattr(deployed, "random_clips", lambda batch, device: torch.randn(batch, 4, 3, 8, 8))
    found = deployed.deployments(Settings("cpu", 0.0))
    forms = ["eager", "folded", "compiled", "bfloat16", "onnxruntime"]
    assert {(each.network, each.form) for each in found} == {(name, form) for name in nets for form in forms}
    assert all(each.milliseconds > 0 for each in found)


def test_onnxruntime_is_measured_under_the_networks_names() -> None:
    nets = {"small": Net(2).eval(), "large": Net(512).eval()}
    times = in_onnxruntime(nets, torch.randn(1, 4, 3, 48, 48), Settings("cpu", 0.0))
    assert list(times) == list(nets)
    assert times["small"] < times["large"]


def test_batch_and_frames_are_dynamic(tmp_path: Path) -> None:
    net = Net().eval()
    write_onnx(net, torch.randn(1, 4, 3, 8, 8), tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    clips = torch.randn(3, 2, 3, 8, 8)
    (scores,) = session.run(None, {session.get_inputs()[0].name: clips.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(scores), net(clips), rtol=1e-4, atol=1e-4)


def test_the_ratios_are_those_of_the_targets() -> None:
    times = {
        ("AGDTNet", "eager"): 80.0, ("AGDTNet", "folded"): 62.0, ("AGDTNet", "compiled"): 70.0,
        ("AGDTNet", "bfloat16"): 30.0, ("AGDTNet", "onnxruntime"): 44.0, ("Former-DFER", "eager"): 100.0,
        ("Former-DFER", "onnxruntime"): 50.0, ("ResNet18 + mean", "eager"): 77.5,
    }  # fmt: skip
    rows = {row.group: row for row in deployed_rows([Deployment(*key, value) for key, value in times.items()])}
    found = {group: (row.ratio, row.bound) for group, row in rows.items()}
    assert found == {
        "AGDTNet, forward, folded, against Former-DFER, eager": (0.62, None),
        "AGDTNet, forward, folded, against ResNet18 + mean, eager": (0.8, None),
        "AGDTNet, forward, onnxruntime, against Former-DFER, onnxruntime": (0.88, None),
        "AGDTNet, forward, compiled, against AGDTNet, eager": (0.875, None),
        "AGDTNet, forward, bfloat16, against AGDTNet, eager": (0.375, 1 / 1.8),
    }
    without = [Deployment(*key, value) for key, value in times.items() if key[1] != "onnxruntime"]
    assert len(list(deployed_rows(without))) == 4
