"""Reading weights: every form that people have loads, and nothing in a file is ever executed."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from agdt_layers import build_agdtnet
from agdt_layers.weights import load_weights
from helpers.agreement import settled


@pytest.fixture(scope="module")
def backbone_state() -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in settled().state_dict().items() if value.is_floating_point()}


def small_net(**options):
    return build_agdtnet(3, num_frames=2, attention="se", temporal="mean", **options)


def assert_backbone_is(net, state: dict[str, torch.Tensor]) -> None:
    loaded = net.backbone.state_dict()
    for name, value in state.items():
        assert torch.equal(loaded[name], value), name


WRAPPERS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 7},
    "model": lambda state: {"model": state},
    "module": lambda state: {f"module.{name}": value for name, value in state.items()},
    "state_dict of module": lambda state: {"state_dict": {f"module.{n}": v for n, v in state.items()}},
    "backbone": lambda state: {f"backbone.{name}": value for name, value in state.items()},
    "with fc": lambda state: state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)},
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("suffix", [".pt", ".pth", "dict"])
def test_a_backbone_loads_from_every_wrapper(wrap, suffix: str, backbone_state, tmp_path: Path) -> None:
    source = wrap(backbone_state)
    if suffix != "dict":
        torch.save(source, tmp_path / f"weights{suffix}")
        source = tmp_path / f"weights{suffix}"
    assert_backbone_is(small_net(weights=source), backbone_state)


@pytest.mark.parametrize("as_text", [False, True])
def test_safetensors_load(as_text: bool, backbone_state, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in backbone_state.items()}, path)
    assert_backbone_is(small_net(weights=str(path) if as_text else path), backbone_state)


def test_a_whole_network_loads(tmp_path: Path) -> None:
    trained = small_net()
    with torch.no_grad():
        trained.classifier.bias.fill_(3)
    torch.save(trained.state_dict(), tmp_path / "net.pt")
    fresh = small_net(weights=tmp_path / "net.pt")
    for name, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


def test_the_report_says_what_matched(backbone_state) -> None:
    report = load_weights(small_net(), backbone_state | {"fc.weight": torch.zeros(1000, 512)})
    text = str(report)
    assert "100" in text or str(len(backbone_state)) in text
    assert "fc.weight" in text


def test_a_wrong_shape_is_refused_by_name(backbone_state) -> None:
    state = backbone_state | {"layer3.0.conv1.weight": torch.zeros(256, 64, 3, 3)}
    net = small_net()
    before = net.backbone.conv1.weight.clone()
    with pytest.raises(ValueError, match=r"conv1\.weight is \(256, 64, 3, 3\), expected \(256, 128, 3, 3\)"):
        load_weights(net, state)
    assert torch.equal(net.backbone.conv1.weight, before), "a refused file must change nothing"


def test_a_file_that_matches_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no key of this model.*backbone\.conv1\.weight.*encoder\.weight"):
        load_weights(small_net(), {"encoder.weight": torch.zeros(3)})


class Bomb:
    """Pickles as a call that leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_refused_and_never_executed(suffix: str, save, backbone_state, tmp_path: Path) -> None:
    path, trace = tmp_path / f"weights{suffix}", tmp_path / "executed"
    save({"state_dict": backbone_state, "note": Bomb(trace)}, path)
    with pytest.raises(ValueError, match="weights"):
        load_weights(small_net(), path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.pt", None),
        ("noise.pt", b"no weights"),
        ("noise.safetensors", b"no weights"),
        ("net.onnx", b""),
    ],
)
def test_an_unreadable_file_is_named(name: str, content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        load_weights(small_net(), tmp_path / name)


@pytest.mark.parametrize("source", [{"conv1.weight": 3}, {"state_dict": [1, 2]}, {}])
def test_anything_but_tensors_is_refused(source) -> None:
    with pytest.raises((ValueError, TypeError), match=r"tensor|empty|no weights"):
        load_weights(small_net(), source)
