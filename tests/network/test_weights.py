"""Weights are loaded into a model completely or not at all, with an accurate report."""

import logging
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import ResNet18, WeightsReport, build_agdtnet, insert_attention, load_weights


class Tied(nn.Module):
    """Two layers that share a weight, and a third."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(2, 2, False), nn.Linear(2, 2, False), nn.Linear(2, 3)
        self.second.weight = self.first.weight


def attended_host() -> ResNet18:
    host = ResNet18()
    insert_attention(host, ["layer2", "layer3"], example_input=torch.zeros(1, 3, 32, 32))
    return host


def test_whole_network_loads_from_a_file(tmp_path: Path) -> None:
    trained = build_agdtnet(3, num_frames=2)
    torch.save(trained.state_dict(), tmp_path / "net.pt")
    fresh = build_agdtnet(3, num_frames=2, weights=str(tmp_path / "net.pt"))
    for name, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


def test_report_lists_matched_missing_and_unused_keys() -> None:
    net, state = build_agdtnet(3, num_frames=2, attention="none", temporal="mean"), ResNet18().state_dict()
    counters = tuple(key for key in state if key.endswith("num_batches_tracked"))
    kept = {key: value for key, value in state.items() if key not in counters}
    report = load_weights(net, kept | {"fc.weight": torch.zeros(1000, 512)})
    assert report == WeightsReport("backbone", tuple(kept), counters, ("fc.weight",))
    assert str(report) == (
        f"backbone: 100 of 120 tensors loaded\n  missing: {', '.join(counters[:6])}, and 14 more\n  unused: fc.weight"
    )


def test_missing_tensor_is_logged_as_a_warning(caplog) -> None:
    caplog.set_level(logging.INFO)
    load_weights(nn.Linear(2, 3), {"weight": torch.ones(3, 2)})
    load_weights(nn.Linear(2, 3, bias=False), {"weight": torch.ones(3, 2)})
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_attention_inserted_after_saving_does_not_warn(caplog) -> None:
    caplog.set_level(logging.INFO)
    host, state = attended_host(), ResNet18().state_dict()
    report = load_weights(host, state)
    assert caplog.records[-1].levelname == "INFO"
    assert report.new_attention == report.missing
    assert len(report.missing) == 18
    assert str(report).splitlines()[1].startswith("  new attention, as initialised: layer2.agdt_attention.")
    assert "missing" not in str(report)
    del state["conv1.weight"]
    assert str(load_weights(host, state)).splitlines()[2] == "  missing: conv1.weight"
    assert caplog.records[-1].levelname == "WARNING"


def test_attention_of_a_network_is_new_if_the_source_has_none(caplog) -> None:
    caplog.set_level(logging.INFO)
    bare = build_agdtnet(3, num_frames=2, attention="none", temporal="mean")
    report = load_weights(build_agdtnet(3, num_frames=2, temporal="mean"), bare.state_dict())
    assert caplog.records[-1].levelname == "INFO"
    assert len(report.new_attention) == 18


@pytest.mark.parametrize("prefix", ["", "module."])
def test_partly_missing_attention_is_not_reported_as_new(prefix: str, caplog) -> None:
    host = attended_host()
    state = {prefix + key: value for key, value in host.state_dict().items() if "layer3.agdt_attention" not in key}
    report = load_weights(host, state)
    assert caplog.records[-1].levelname == "WARNING"
    assert report.new_attention == ()
    assert len(report.missing) == 9


def test_attention_is_not_reported_as_new_if_the_source_has_another() -> None:
    other = build_agdtnet(3, num_frames=2, attention="se", temporal="mean")
    report = load_weights(build_agdtnet(3, num_frames=2, temporal="mean"), nn.DataParallel(other).state_dict())
    assert any("attention" in key for key in report.missing)
    assert report.new_attention == ()


def test_one_key_of_a_tied_tensor_suffices() -> None:
    net, value = Tied(), torch.tensor([[2.0, 3.0], [5.0, 7.0]])
    state = {key: tensor for key, tensor in Tied().state_dict().items() if key != "first.weight"}
    report = load_weights(net, state | {"second.weight": value})
    assert str(report) == "network: 4 of 4 tensors loaded"
    assert torch.equal(net.first.weight, value)


def test_different_values_for_a_tied_tensor_raise() -> None:
    net = Tied()
    state = net.state_dict() | {"second.weight": torch.zeros(2, 2)}
    before = net.first.weight.clone()
    with pytest.raises(ValueError, match=r"different values for first\.weight and second\.weight, .* Remove one\."):
        load_weights(net, state)
    assert torch.equal(net.first.weight, before)
    nan = torch.full((2, 2), torch.nan)
    load_weights(net, state | {"first.weight": nan.bfloat16(), "second.weight": nan})


@pytest.mark.parametrize("from_file", [False, True])
def test_model_on_the_meta_device_gets_the_values(from_file: bool, tmp_path: Path) -> None:
    trained = build_agdtnet(3, num_frames=2).eval()
    meta = build_agdtnet(3, num_frames=2, device="meta").eval()
    meta.classifier.bias.requires_grad_(False)
    torch.save(trained.state_dict(), tmp_path / "net.pt")
    report = load_weights(meta, tmp_path / "net.pt" if from_file else trained.state_dict())
    assert report.matched == tuple(trained.state_dict())
    meta.to(trained.classifier.weight.device)
    clips = torch.randn(2, 2, 3, 32, 32)
    assert torch.equal(meta(clips), trained(clips))
    assert [meta.classifier.weight.requires_grad, meta.classifier.bias.requires_grad] == [True, False]
    with torch.no_grad():
        trained.classifier.weight.zero_()
    assert meta.classifier.weight.any(), "the model shares its tensors with the source"


def test_tied_tensors_on_the_meta_device_stay_tied() -> None:
    with torch.device("meta"):
        meta = Tied()
    state = Tied().state_dict()
    del state["second.weight"]
    assert not load_weights(meta, state).missing
    assert meta.first.weight is meta.second.weight
    assert torch.equal(meta.second.weight, state["first.weight"])


def test_dtype_of_a_meta_model_is_preserved() -> None:
    half = nn.Linear(2, 3, device="meta", dtype=torch.bfloat16)
    load_weights(half, {"weight": torch.full((3, 2), 1 / 3), "bias": torch.zeros(3)})
    assert torch.equal(half.weight, torch.full((3, 2), 1 / 3).bfloat16())


def test_incomplete_source_for_a_meta_model_raises() -> None:
    meta = nn.Sequential(nn.Linear(2, 2, device="meta"), nn.BatchNorm1d(2, device="meta"))
    before = meta.state_dict(keep_vars=True)
    with pytest.raises(ValueError, match=r'lacks .*, and 1 more, which have no values .* device="cpu"\.$'):
        load_weights(meta, {"0.weight": torch.ones(2, 2), "1.weight": torch.ones(2), "1.bias": torch.ones(2)})
    assert all(value is before[name] for name, value in meta.state_dict(keep_vars=True).items())


def test_parameters_off_the_meta_device_stay_the_same_objects() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, device="meta"))
    known = net[0].weight
    state = {name: torch.full_like(value, 2, device="cpu") for name, value in net.state_dict().items()}
    with warnings.catch_warnings(action="error"):
        load_weights(net, state)
    assert net[0].weight is known, "an optimiser may hold the old parameter"
    assert all(torch.equal(value.cpu(), state[name]) for name, value in net.state_dict().items())


MISFITS: dict[str, tuple[object, str]] = {
    "shape": (torch.ones(2, 3), r"is \(2, 3\), expected \(3, 2\)"),
    "scalar": (torch.tensor(1.0), r"is \(\), expected \(3, 2\)"),
    "complex": (torch.full((3, 2), 1 + 2j), r"is torch\.complex64 and cannot be converted to torch\.float32"),
    "integer": (torch.ones(3, 2, dtype=torch.int8), r"is torch\.int8 and cannot be converted"),
    "range": (
        torch.full((3, 2), 1e300, dtype=torch.float64),
        r"is torch\.float64 .* out of range",
    ),
    "sparse": (torch.ones(3, 2).to_sparse(), "is not a dense tensor"),
    "quantised": (
        torch.quantize_per_tensor(torch.ones(3, 2, device="cpu"), 0.1, 0, torch.qint8),
        "is not a dense tensor",
    ),
    "meta": (torch.ones(3, 2, device="meta"), "is on the meta device, without values"),
    "list": ([[0.0, 0.0]] * 3, "is not a dense tensor"),
}


@pytest.mark.parametrize(("value", "message"), MISFITS.values(), ids=MISFITS)
def test_tensor_that_does_not_fit_raises_and_nothing_is_loaded(value: object, message: str) -> None:
    net = nn.Linear(2, 3)
    before = deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=f"^the state dict does not fit the model: weight {message}") as error:
        load_weights(net, {"bias": torch.ones(3), "weight": value})
    assert str(error.value).endswith("Convert or remove these tensors, or build the model to fit.")
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("shape", [(3,), (1,)])
def test_vector_for_a_scalar_raises(shape: tuple[int]) -> None:
    net = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match=r"num_batches_tracked is \(\d,\), expected \(\)"):
        load_weights(net, {"weight": torch.ones(2), "num_batches_tracked": torch.full(shape, 5)})


def test_many_misfits_are_summarised_in_one_line() -> None:
    state = {name: torch.zeros(1, 2, 3) for name, value in ResNet18().state_dict().items() if value.ndim}
    with pytest.raises(ValueError, match=r"and 97 more\. Convert") as error:
        load_weights(ResNet18(), state)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(torch.int64, torch.tensor(3.0)), (torch.int32, torch.tensor(2**40)), (torch.bool, torch.tensor(2))],
)
def test_inexact_integer_conversion_raises(dtype: torch.dtype, value: Tensor) -> None:
    net = nn.Module()
    net.register_buffer("steps", torch.tensor(1, dtype=dtype))
    with pytest.raises(ValueError, match=r"steps is torch.* cannot be converted"):
        load_weights(net, {"steps": value})
    load_weights(net, {"steps": torch.tensor(1, dtype=torch.uint8)})
    assert net.steps == 1


@pytest.mark.parametrize("saved", [torch.float64, torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_other_precisions_are_converted(saved: torch.dtype) -> None:
    net = nn.Linear(2, 3)
    load_weights(net, {"weight": torch.full((3, 2), 0.25).to(saved)})
    assert torch.equal(net.weight, torch.full((3, 2), 0.25))
    assert net.weight.dtype == torch.float32


def test_extra_state_is_ignored_and_reported_missing() -> None:
    class Counting(nn.Linear):
        def get_extra_state(self) -> int:
            return 7

        def set_extra_state(self, state: int) -> None:
            raise AssertionError("load_weights loads tensors only")

    net, state = Counting(2, 3), Counting(2, 3).state_dict()
    assert load_weights(net, state).missing == ("_extra_state",)
    assert torch.equal(net.weight, state["weight"])


def expand(net: nn.Linear) -> None:
    net.bias = nn.Parameter(torch.zeros(1).expand(3))


def make_in_inference_mode(net: nn.Linear) -> None:
    with torch.inference_mode():
        net.bias = nn.Parameter(torch.zeros(3))


@pytest.mark.parametrize("spoil", [expand, make_in_inference_mode])
def test_tensor_that_cannot_be_written_leaves_the_model_unchanged(spoil: Callable[[nn.Linear], None]) -> None:
    net, meta = nn.Linear(2, 3), nn.Linear(2, 3, device="meta")
    spoil(net)
    before, on_meta = net.weight.clone(), meta.weight
    state = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    both = {f"{part}.{name}": value for part in "01" for name, value in state.items()}
    with pytest.raises(ValueError, match=r"is unchanged: .*\"0\.bias\".* Load the weights before sharding") as error:
        load_weights(nn.Sequential(net, meta), both)
    assert "\n" not in str(error.value)
    assert torch.equal(net.weight, before)
    assert torch.equal(net.bias, torch.zeros(3))
    assert meta.weight is on_meta


def test_module_versions_are_passed_to_load_state_dict() -> None:
    class Renamed(nn.Linear):
        _version = 2

        def _load_from_state_dict(self, state_dict, prefix, metadata, *rest) -> None:
            if metadata.get("version", 1) < 2:
                state_dict[f"{prefix}bias"] = state_dict.pop(f"{prefix}weight")
            super()._load_from_state_dict(state_dict, prefix, metadata, *rest)

    net = Renamed(2, 3)
    load_weights(net, {"weight": torch.ones(3, 2)})
    assert torch.equal(net.weight, torch.ones(3, 2))


def test_lazy_module_raises_before_its_first_call() -> None:
    net, state = nn.LazyLinear(3), nn.Linear(2, 3).state_dict()
    with pytest.raises(ValueError, match=r"weight has no shape yet in the model \(call the model once first\)"):
        load_weights(net, state)
    net(torch.zeros(1, 2))
    load_weights(net, state)
    assert torch.equal(net.weight, state["weight"])


def test_model_does_not_share_tensors_with_the_source() -> None:
    net, weight = nn.Linear(2, 3), torch.ones(3, 2)
    load_weights(net, {"weight": weight})
    with torch.no_grad():
        net.weight.zero_()
    assert torch.equal(weight, torch.ones(3, 2))


@pytest.mark.parametrize(
    ("model", "source", "message"),
    [
        (None, {}, r"expects model to be a torch\.nn\.Module, got None\."),
        (nn.Linear(2, 3), None, r"expects a file or a state dict, got NoneType\."),
        (nn.Linear(2, 3), [torch.zeros(3)], r"expects a file or a state dict, got list\."),
    ],
)
def test_arguments_of_another_type_raise(model, source, message: str) -> None:
    with pytest.raises(TypeError, match=f"^load_weights {message}$"):
        load_weights(model, source)
