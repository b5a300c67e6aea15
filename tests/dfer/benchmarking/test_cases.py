"""What the rows compare: which figure stands over which, and what is left out where timm is absent."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from dfer.benchmarking import growth, layers, networks, peers
from dfer.benchmarking.rows import LAYOUTS, Settings, named
from dfer.benchmarking.stream import stream


class Fixed(Settings):
    """Runs everything once and gives the milliseconds that the test says."""

    def __init__(self, **milliseconds: float) -> None:
        super().__init__("cpu", 0.0)
        object.__setattr__(self, "given", milliseconds)

    def medians(self, runs, *, rounds: int = 7) -> dict[str, float]:
        for run in runs.values():
            run()
        return {name: self.given.get(name, 10.0) for name in runs}


def test_a_stream_is_compared_by_the_frame() -> None:
    rows = list(stream(Fixed(frame=13.0, run=160.0, alone=10.0, clip=120.0, encoder=8.0)))
    found = {(row.case, row.peer): (row.ours, row.theirs, row.bound) for row in rows}
    assert found == {
        ("AGDTStream, one push", "ResNet18, a frame"): (13.0, 10.0, 1.3),
        ("AGDTStream, a frame in a run of 16", "a frame's share of the clip and of the temporal encoder"):
            (10.0, 8.0, 1.25),
        ("AGDTStream, one push", "the whole clip"): (13.0, 120.0, None),
    }  # fmt: skip


def test_networks_are_compared_with_the_host_and_former_dfer(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = {"AGDTNet": 24, "ResNet18 + mean": 16, "Former-DFER": 32}
    nets = {name: nn.Sequential(nn.Flatten(), nn.Linear(60, width)) for name, width in widths.items()}
    monkeypatch.setattr(networks, "networks", lambda device: nets)
    monkeypatch.setattr(networks, "random_clips", lambda batch, device: torch.zeros(batch, 4, 3, 5))
    settings = Fixed(**{"AGDTNet": 9.0, "ResNet18 + mean": 10.0, "Former-DFER": 12.0})
    rows = {(row.case, row.peer): row for row in networks.whole_networks(settings)}
    for case, bound in (("forward, batch 1", 1.08), ("forward, batch 4", 1.05), ("training step, batch 1", 1.06)):
        host, former = (rows[f"AGDTNet {case}", peer] for peer in ("ResNet18 + mean", "Former-DFER"))
        assert (host.ratio, host.bound) == (0.9, bound)
        assert (former.ratio, former.bound) == (0.75, None)
    memory = rows["AGDTNet training step, batch 1, peak memory", "ResNet18 + mean"]
    assert 1.3 < memory.ratio < 1.5, "its weights' gradients are 24 / 16 of the host's"
    assert (memory.unit, memory.bound) == ("MiB", 1.10)


def test_networks_see_the_clips_of_the_paper() -> None:
    assert networks.random_clips(2, "cpu").shape == (2, 16, 3, 112, 112)


def test_every_peer_stands_in_the_table_with_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "SHAPES", ((2, 8, 5, 3),))
    rows = list(layers.attention(Fixed(AGA=9.0)))
    bounds = {(row.peer, row.case.split()[-1]): row.bound for row in rows}
    assert bounds["this package's CBAM", "forward"] == 1.2
    assert bounds["this package's CBAM", "backward"] is None
    assert bounds["x * s", "forward"] is None
    assert {row.ratio for row in rows} == {0.9}
    assert {row.case.split()[8] for row in rows} == {"NCHW", "channels_last"}
    if not peers.skipped_peers():
        assert bounds["timm's CbamModule", "forward"] == 0.9
        assert bounds["timm's CbamModule", "backward"] == 1.0
        assert {"timm's SEModule", "timm's EcaModule"} <= {row.peer for row in rows}


@pytest.mark.parametrize("missing", ["timm", "torchvision"])
def test_what_is_not_installed_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    assert peers.skipped_peers() == ("timm's CbamModule", "timm's SEModule", "timm's EcaModule")
    assert list(peers.peers(8)) == ["this package's CBAM"]


def test_dense_context_stands_over_its_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "SHAPES", ((2, 8, 5, 3),))
    (row,) = layers.against_the_literal_form(Fixed(AGA=2.0, literal=16.0))
    assert (row.case, row.peer, row.ratio, row.bound) == (
        "AGA, dense context, 2 x 8 x 5 x 3 forward", "literal equations", 0.125, 0.25)  # fmt: skip


def test_memory_is_measured_of_aga_and_of_both_cbams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "SHAPES", ((2, 8, 5, 3),))
    # What the run itself holds, its input and that input's gradient, and three times as much.
    monkeypatch.setattr(layers, "peak_bytes", lambda run, device: 5 * 2 * 8 * 5 * 3 * 4)
    rows = list(layers.memory(Fixed()))
    assert {row.ratio for row in rows} == {3.0}
    cbams = {"this package's CBAM", *(() if peers.skipped_peers() else ("timm's CbamModule",))}
    assert {row.group.split(",")[0] for row in rows} == {f"Extra memory of {name}" for name in ("AGA", *cbams)}
    assert {row.bound for row in rows if "AGA" in row.group} == {2.0}


REPORT = json.loads((Path(__file__).parents[3] / "docs/benchmark/benchmark.json").read_text())


def test_the_documented_cases_are_those_of_the_code() -> None:
    documented = {row["case"] for row in REPORT["rows"] if row["peer"] == "x * s" and row["case"].startswith("AGA ")}
    assert documented == {
        f"AGA {named(shape)} {layout} {way}" for shape in layers.SHAPES for layout in LAYOUTS for way in layers.WAYS
    }


def test_growth_varies_one_axis_of_square_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: dict[tuple[str, str], list[tuple[int, ...]]] = {}

    def noted(settings: Settings, axis: str, sizes: dict[int, tuple[int, ...]]) -> list[growth.Curve]:
        shapes["AGA", axis] = list(sizes.values())
        return [growth.Curve("AGA", axis, list(sizes), [])]

    monkeypatch.setattr(growth, "_attention", noted)
    monkeypatch.setattr(growth, "_network", lambda *given: growth.Curve("AGDTNet", given[1], list(given[2]), []))
    curves = {(curve.layer, curve.axis): curve.sizes for curve in growth.growth(Fixed())}
    assert curves == {(c["layer"], c["axis"]): c["sizes"] for c in REPORT["growth"] if c["layer"] in ("AGA", "AGDTNet")}
    for (_, axis), of_axis in shapes.items():
        assert all(height == width for *_, height, width in of_axis), axis
        varied = [len(set(lengths)) > 1 for lengths in zip(*of_axis, strict=True)]
        assert varied == [axis == "T", axis == "C", axis == "H * W", axis == "H * W"]


def test_growth_times_aga_and_a_plain_pass_at_every_size() -> None:
    curves = growth._attention(Fixed(**{"AGA": 3.0, "x * s": 2.0}), "T", {1: (1, 8, 5, 5), 3: (3, 8, 5, 5)})
    assert curves == [growth.Curve("AGA", "T", [1, 3], [3.0, 3.0]), growth.Curve("x * s", "T", [1, 3], [2.0, 2.0])]
