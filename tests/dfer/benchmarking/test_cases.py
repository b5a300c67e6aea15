"""What each row compares, and which layers are skipped without timm."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from agdt_layers import AdaptiveGlobalAttention
from dfer.benchmarking import layers, networks
from dfer.benchmarking.layers import kept_bytes, layer_costs, skipped_peers, temporal_encoder


def fixed(milliseconds: dict[str, float]):
    """A clock that runs everything once and returns given milliseconds."""

    def medians(runs, **_settings) -> dict[str, float]:
        for run in runs.values():
            run()
        return {name: milliseconds.get(name, 10.0) for name in runs}

    return medians


def test_stream_is_compared_per_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"frame": 13.0, "run": 160.0, "alone": 10.0, "clip": 120.0, "encoder": 8.0}
    monkeypatch.setattr(networks, "interleaved_medians", fixed(times))
    found = {(row.case, row.peer): (row.ours, row.theirs, row.bound) for row in networks.stream("cpu", 0.0)}
    assert found == {
        ("AGDTStream, one push", "ResNet18, a frame"): (13.0, 10.0, None),
        ("AGDTStream, one push", "the whole clip again"): (13.0, 120.0, None),
        ("AGDTStream, a frame in a run of 16", "its share of the clip and of the temporal encoder"): (10.0, 8.0, 1.25),
    }


def test_networks_are_compared_with_the_host_and_former_dfer(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = {"AGDTNet": 24, "ResNet18 + mean": 16, "Former-DFER": 32}
    nets = {name: nn.Sequential(nn.Flatten(), nn.Linear(60, width)) for name, width in widths.items()}
    monkeypatch.setattr(networks, "networks", lambda device: nets)
    monkeypatch.setattr(networks, "random_clips", lambda batch, device: torch.zeros(batch, 4, 3, 5))
    times = {"AGDTNet": 9.0, "ResNet18 + mean": 10.0, "Former-DFER": 12.0}
    monkeypatch.setattr(networks, "interleaved_medians", fixed(times))
    rows = {(row.case, row.peer): row for row in networks.whole_networks("cpu", 0.0)}
    for case, bound in (("forward, batch 1", None), ("forward, batch 4", 1.05), ("training step, batch 1", None)):
        host, former = (rows[f"AGDTNet, {case}", peer] for peer in ("ResNet18 + mean", "Former-DFER"))
        assert (host.ratio, host.bound) == (0.9, bound)
        assert (former.ratio, former.bound) == (0.75, None)
    assert rows["AGDTNet, launches, forward", "Former-DFER"].ours == 1
    memory = rows["AGDTNet, training step, batch 1, peak memory", "ResNet18 + mean"]
    assert 1.3 < memory.ratio < 1.5, "gradients take 24 / 16 of the host's memory"
    assert memory.unit == "MiB"


def test_clips_have_the_size_of_the_paper() -> None:
    assert networks.random_clips(2, "cpu").shape == (2, 16, 3, 112, 112)


def test_every_layer_is_measured_on_every_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "SHAPES", ((2, 8, 5, 3), (2, 16, 3, 2)))
    found = list(layer_costs("cpu", 0.0))
    assert [cost.shape for cost in found if cost.layer == "AGA"] == [(2, 8, 5, 3), (2, 16, 3, 2)]
    assert {"AGA", "this package's CBAM"} <= {cost.layer for cost in found}
    if not skipped_peers():
        assert {"timm's CbamModule", "timm's SEModule", "timm's EcaModule"} <= {cost.layer for cost in found}
    for cost in found:
        assert cost.launches["forward"] < cost.launches["forward + backward"]
        assert cost.milliseconds["forward"] > 0


def test_documented_launches_match_the_layers() -> None:
    counts = {cost["layer"]: cost["launches"] for cost in DOCUMENTED["layers"]}
    x = torch.randn(16, 64, 28, 28)
    for name, layer in layers.attention_layers((16, 64, 28, 28)).items():
        for way, prepare in layers.WAYS.items():
            assert len(layers.launches(prepare(layer, x))) == counts[name][way], name


def test_kept_bytes_exclude_input_and_parameters() -> None:
    x = torch.randn(4, 8, 5, 5)
    assert kept_bytes(nn.ReLU(), x) == x.nbytes
    assert kept_bytes(nn.Conv2d(8, 8, 1), x) == 0
    assert kept_bytes(nn.Sequential(nn.Conv2d(8, 8, 1), nn.Sigmoid(), nn.Conv2d(8, 8, 1)), x) == x.nbytes
    assert not x.requires_grad


def test_aga_keeps_less_than_a_fifth_of_a_large_map() -> None:
    layer = AdaptiveGlobalAttention(64, num_frames=16)
    x = torch.randn(16, 64, 28, 28)
    assert kept_bytes(layer, x) < 0.2 * x.nbytes


@pytest.mark.parametrize("missing", ["timm", "torchvision"])
def test_layers_of_missing_packages_are_skipped_by_name(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    assert skipped_peers() == ("timm's CbamModule", "timm's SEModule", "timm's EcaModule")
    assert list(layers.attention_layers((2, 8, 5, 3))) == ["AGA", "this package's CBAM"]


def test_temporal_encoder_is_compared_with_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "interleaved_medians", fixed({"ours": 9.0, "theirs": 10.0}))
    row = temporal_encoder("cpu", 0.0)
    assert (row.peer, row.ratio, row.bound) == ("nn.TransformerEncoder", 0.9, 1.15)


DOCUMENTED = json.loads((Path(__file__).parents[3] / "docs/benchmark/benchmark.json").read_text())


def test_documented_shapes_match_the_code() -> None:
    assert {tuple(each["shape"]) for each in DOCUMENTED["layers"]} == set(layers.SHAPES)
