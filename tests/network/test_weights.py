"""Loading weights: every form that people have fits, all of it or nothing is loaded, and the report is true."""

import logging
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from agdt_layers import ResNet18, WeightsReport, build_agdtnet, insert_attention, load_weights
from helpers.agreement import settled

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def backbone_state() -> State:
    return {name: value.float() for name, value in settled().state_dict().items() if value.is_floating_point()}


def small_net(**options):
    return build_agdtnet(3, num_frames=2, attention="se", temporal="mean", **options)


def assert_backbone_is(net, state: State) -> None:
    loaded = net.backbone.state_dict()
    for name, value in state.items():
        assert torch.equal(loaded[name], value), name


def renamed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


WRAPPERS: dict[str, Callable[[State], object]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 7},
    "model": lambda state: {"model": state},
    "module": lambda state: renamed(state, "module."),
    "compiled": lambda state: renamed(state, "_orig_mod."),
    "compiled, then parallel": lambda state: renamed(state, "module._orig_mod."),
    "parallel, then compiled": lambda state: renamed(state, "_orig_mod.module."),
    "inside": lambda state: renamed(state, "backbone._orig_mod.module."),
    "recomputed, then sharded": lambda state: renamed(state, "_fsdp_wrapped_module._checkpoint_wrapped_module."),
    "state_dict of module": lambda state: {"state_dict": renamed(state, "module.")},
    "a training module's": lambda state: {"state_dict": renamed(state, "net._orig_mod.")},
    "backbone": lambda state: renamed(state, "backbone."),
    "with fc": lambda state: state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)},
    "with averages": lambda state: renamed(state, "module.") | {"n_averaged": torch.tensor(5)},
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("file", [False, True])
def test_a_backbone_loads_from_every_wrapper(wrap, file: bool, backbone_state, tmp_path: Path) -> None:
    source = wrap(backbone_state)
    if file:
        torch.save(source, tmp_path / "weights.pt")
        source = tmp_path / "weights.pt"
    assert_backbone_is(small_net(weights=source), backbone_state)


def test_a_whole_network_loads(tmp_path: Path) -> None:
    trained = small_net()
    torch.save(trained.state_dict(), tmp_path / "net.pt")
    fresh = small_net(weights=str(tmp_path / "net.pt"))
    for name, value in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


class Pair(nn.Module):
    """Two layers of one tensor, and a third."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(2, 2, bias), nn.Linear(2, 2, bias), nn.Linear(2, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.second(self.first(x)))


@pytest.fixture
def alone() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


TARGETS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "bare": lambda net: net,
    "DataParallel": nn.DataParallel,
    "DDP": DistributedDataParallel,
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "compiled DataParallel": lambda net: torch.compile(nn.DataParallel(net), backend="eager"),
    "averaged": AveragedModel,
}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("saved", TARGETS.values(), ids=TARGETS)
def test_every_wrapper_loads_into_every_wrapper(target, saved) -> None:
    trained, fresh = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    with torch.no_grad():
        trained.weight.uniform_()
    wrapped = target(fresh)
    report = load_weights(wrapped, saved(trained).state_dict())
    assert torch.equal(next(wrapped.parameters()), trained.weight)
    assert set(report.missing) <= {"n_averaged"}
    assert set(report.unused) <= {"n_averaged"}
    assert len(report.matched) >= 5


@pytest.mark.parametrize("wrap", [nn.DataParallel, AveragedModel])
def test_a_wrapped_model_computes_with_what_was_loaded(wrap, backbone_state) -> None:
    net = wrap(small_net())
    report = load_weights(net, backbone_state)
    assert_backbone_is(net.module, backbone_state)
    assert report.target == "backbone"
    assert set(report.matched) == set(backbone_state)


def test_a_part_that_is_wrapped_inside_loads_as_it_does_bare(backbone_state) -> None:
    net = small_net()
    net.backbone = nn.DataParallel(net.backbone)
    assert load_weights(net, backbone_state).target == "backbone"
    assert_backbone_is(nn.ModuleDict({"backbone": net.backbone.module}), backbone_state)
    assert not load_weights(net, small_net().state_dict()).missing


def test_a_model_with_keys_that_differ_in_a_wrappers_part_alone_takes_the_exact_keys() -> None:
    both = nn.ModuleDict({"a": nn.Linear(2, 2), "module": nn.ModuleDict({"a": nn.Linear(2, 2)})})
    state = {"a.weight": torch.ones(2, 2), "module.a.weight": torch.zeros(2, 2)}
    report = load_weights(both, state)
    assert torch.equal(both["a"].weight, state["a.weight"])
    assert torch.equal(both["module"]["a"].weight, state["module.a.weight"])
    assert report.missing == ("a.bias", "module.a.bias")


def test_the_exact_key_beats_a_wrapped_one_and_two_wrapped_ones_are_refused() -> None:
    net, ones, twos = nn.Linear(2, 2), torch.ones(2, 2), torch.full((2, 2), 2.0)
    report = load_weights(net, {"module.weight": twos, "weight": ones})
    assert torch.equal(net.weight, ones)
    assert report.unused == ("module.weight",)
    two = {"module.weight": twos, "_orig_mod.weight": ones}
    with pytest.raises(ValueError, match=r"has 'module\.weight' and '_orig_mod\.weight' for 'weight'\. Remove all but"):
        load_weights(net, two)
    del two["_orig_mod.weight"]
    load_weights(net, two)
    assert torch.equal(net.weight, twos)


def test_a_model_that_a_training_module_holds_twice_is_refused_and_the_advice_works() -> None:
    net = nn.Linear(2, 2)
    both = {"net.weight": torch.ones(2, 2), "model.weight": torch.zeros(2, 2), "loss.weight": torch.ones(7)}
    with pytest.raises(ValueError, match=r"fits as 'model\.' and as 'net\.'\. Remove all keys but those of one\."):
        load_weights(net, both)
    report = load_weights(net, {key: value for key, value in both.items() if not key.startswith("model")})
    assert torch.equal(net.weight, both["net.weight"])
    assert report.unused == ("loss.weight",)


def test_the_better_fit_of_network_and_backbone_is_taken() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.ModuleDict({"body": nn.Linear(2, 2), "classifier": nn.Linear(2, 3)})
            self.classifier = nn.Linear(2, 3)

    net = Net()
    state = {name: torch.ones_like(value) for name, value in net.backbone.state_dict().items()}
    before = net.classifier.weight.clone()
    assert load_weights(net, state).target == "backbone"
    assert torch.equal(net.classifier.weight, before)
    assert torch.equal(net.backbone["classifier"].weight, state["classifier.weight"])


def test_the_report_says_what_matched(backbone_state) -> None:
    net = build_agdtnet(3, num_frames=2, attention="none", temporal="mean")
    report = load_weights(net, backbone_state | {"fc.weight": torch.zeros(1000, 512)})
    counters = tuple(key for key in ResNet18().state_dict() if key.endswith("num_batches_tracked"))
    assert report == WeightsReport("backbone", tuple(backbone_state), counters, ("fc.weight",))
    assert str(report) == (
        f"backbone: 100 of 120 tensors loaded\n  missing: {', '.join(counters[:6])}, and 14 more\n  unused: fc.weight"
    )


def test_a_missing_tensor_is_a_warning_and_a_whole_load_is_none(caplog) -> None:
    caplog.set_level(logging.INFO)
    load_weights(nn.Linear(2, 3), {"weight": torch.ones(3, 2)})
    load_weights(nn.Linear(2, 3, bias=False), {"weight": torch.ones(3, 2)})
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_tied_tensors_are_not_missing(caplog) -> None:
    caplog.set_level(logging.INFO)
    pair, value = Pair(), torch.tensor([[2.0, 3.0], [5.0, 7.0]])
    state = {key: tensor for key, tensor in Pair().state_dict().items() if key != "first.weight"}
    report = load_weights(pair, state | {"second.weight": value})
    assert report.missing == ()
    assert str(report) == "network: 4 of 4 tensors loaded"
    assert torch.equal(pair.first.weight, value)
    assert caplog.records[0].levelname == "INFO"


def test_different_numbers_for_a_tied_tensor_are_refused_and_the_advice_works() -> None:
    pair = Pair()
    state = pair.state_dict() | {"second.weight": torch.zeros(2, 2)}
    before = pair.first.weight.clone()
    with pytest.raises(ValueError, match=r"different numbers for first\.weight and second\.weight, .* Remove one\."):
        load_weights(pair, state)
    assert torch.equal(pair.first.weight, before)
    del state["first.weight"]
    load_weights(pair, state)
    assert torch.equal(pair.first.weight, state["second.weight"])
    nan = torch.full((2, 2), torch.nan)
    load_weights(pair, state | {"first.weight": nan, "second.weight": nan.clone()})


@pytest.mark.parametrize("suffix", ["dict", ".pt"])
def test_a_model_on_the_meta_device_gets_the_weights(suffix: str, tmp_path: Path) -> None:
    trained = build_agdtnet(3, num_frames=2).eval()
    meta = build_agdtnet(3, num_frames=2, device="meta").eval()
    meta.classifier.bias.requires_grad_(False)
    source = trained.state_dict()
    if suffix != "dict":
        torch.save(source, tmp_path / "net.pt")
    report = load_weights(meta, source if suffix == "dict" else tmp_path / "net.pt")
    assert report.matched == tuple(trained.state_dict())
    clips = torch.randn(2, 2, 3, 32, 32)
    assert torch.equal(meta(clips), trained(clips))
    assert not meta.classifier.bias.requires_grad
    assert meta.classifier.weight.requires_grad
    with torch.no_grad():
        trained.classifier.weight.zero_()
    assert meta.classifier.weight.any(), "the model owns its tensors"


def test_tied_tensors_on_the_meta_device_stay_tied() -> None:
    with torch.device("meta"):
        meta = Pair()
    state = Pair().state_dict()
    del state["second.weight"]
    assert not load_weights(meta, state).missing
    assert meta.first.weight is meta.second.weight
    assert torch.equal(meta.second.weight, state["first.weight"])


def test_a_dtype_on_the_meta_device_stays() -> None:
    half = nn.Linear(2, 3, device="meta", dtype=torch.bfloat16)
    load_weights(half, {"weight": torch.full((3, 2), 1 / 3), "bias": torch.zeros(3)})
    assert torch.equal(half.weight, torch.full((3, 2), 1 / 3).bfloat16())


def test_a_file_without_all_tensors_of_a_meta_model_is_refused_and_the_advice_works(backbone_state) -> None:
    meta = build_agdtnet(3, num_frames=2, temporal="mean", device="meta")
    before = dict(meta.named_parameters())
    with pytest.raises(ValueError, match=r'lacks .*, and 19 more, and the model is on the meta.* device="cpu"\.$'):
        load_weights(meta, backbone_state)
    assert dict(meta.named_parameters()).keys() == before.keys()
    assert all(parameter is before[name] for name, parameter in meta.named_parameters())
    assert all(buffer.is_meta for buffer in meta.buffers())
    real = build_agdtnet(3, num_frames=2, temporal="mean", device="cpu")
    load_weights(real, backbone_state)
    assert_backbone_is(real, backbone_state)


def test_a_model_partly_on_the_meta_device_keeps_the_parameters_it_has() -> None:
    mixed = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, device="meta"))
    known = mixed[0].weight
    state = {name: torch.full_like(value, 2, device="cpu") for name, value in mixed.state_dict().items()}
    with warnings.catch_warnings(action="error"):
        load_weights(mixed, state)
    assert mixed[0].weight is known, "an optimiser may hold it"
    assert all(torch.equal(value, state[name]) for name, value in mixed.state_dict().items())


MISFITS: dict[str, tuple[Tensor, str, Callable[[Tensor], Tensor]]] = {
    "shape": (torch.ones(2, 3), r"is \(2, 3\), expected \(3, 2\)", lambda x: x.T),
    "complex": (torch.full((3, 2), 1 + 2j), r"is torch\.complex64, expected torch\.float32", lambda x: x.real),
    "integer": (torch.ones(3, 2, dtype=torch.int8), r"is torch\.int8, expected torch\.float32", lambda x: x.float()),
    "range": (
        torch.full((3, 2), 1e300, dtype=torch.float64),
        r"is torch\.float64 with numbers that torch\.float32 does not hold",
        lambda x: x / 1e300,
    ),
    "sparse": (torch.ones(3, 2).to_sparse(), r"is sparse.*, expected a dense", lambda x: x.to_dense()),
    "quantised": (
        torch.quantize_per_tensor(torch.ones(3, 2), 0.1, 0, torch.qint8),
        r"is sparse, nested or quantised, expected a dense",
        lambda x: x.dequantize(),
    ),
    "meta": (torch.ones(3, 2, device="meta"), r"holds no numbers \(it is on the meta device\)", torch.ones_like),
}


@pytest.mark.parametrize(("value", "said", "fix"), MISFITS.values(), ids=MISFITS)
def test_a_tensor_that_does_not_fit_is_refused_by_name_and_the_advice_works(value, said: str, fix) -> None:
    net = nn.Linear(2, 3)
    before = deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=f"^the state dict does not fit the network: weight {said}") as error:
        load_weights(net, {"bias": torch.ones(3), "weight": value})
    assert str(error.value).endswith("Convert or remove these tensors, or build the model to fit.")
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), "a refused source changes nothing"
    load_weights(net, {"bias": torch.ones(3)})
    assert torch.equal(net.weight, before["weight"])
    fitting = torch.ones(3, 2) if value.is_meta else fix(value)
    load_weights(net, {"bias": torch.ones(3), "weight": fitting})
    assert torch.equal(net.weight, fitting)


def test_a_model_built_to_fit_takes_what_another_refused() -> None:
    state = nn.Linear(2, 5).state_dict()
    with pytest.raises(ValueError, match=r"bias is \(5,\), expected \(3,\)\. .* or build the model to fit"):
        load_weights(nn.Linear(2, 3), state)
    load_weights(nn.Linear(2, 5), state)
    complex_net = nn.Linear(2, 3, dtype=torch.complex64)
    load_weights(complex_net, {"weight": torch.full((3, 2), 1 + 2j)})
    assert torch.equal(complex_net.weight, torch.full((3, 2), 1 + 2j))


def test_many_misfits_take_one_line() -> None:
    with pytest.raises(ValueError, match=r"and 97 more\. Convert") as error:
        load_weights(
            ResNet18(),
            {name: torch.zeros(1, 2, 3) for name, p in ResNet18().named_parameters()}
            | {name: torch.zeros(1, 2, 3) for name, b in ResNet18().named_buffers() if b.ndim},
        )
    assert "\n" not in str(error.value)


def test_a_number_that_is_no_tensor_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"does not fit the network: bias is a list, expected a tensor"):
        load_weights(nn.Linear(2, 3), {"weight": torch.ones(3, 2), "bias": [0.0, 0.0, 0.0]})


@pytest.mark.parametrize(
    ("place", "value"),
    [(torch.int64, torch.tensor(3.0)), (torch.int32, torch.tensor(2**40)), (torch.bool, torch.tensor(2))],
)
def test_whole_numbers_stay_exact(place: torch.dtype, value: Tensor) -> None:
    net = nn.Module()
    net.register_buffer("steps", torch.tensor(1, dtype=place))
    with pytest.raises(ValueError, match=r"^the state dict does not fit the network: steps is"):
        load_weights(net, {"steps": value})
    load_weights(net, {"steps": torch.tensor(1, dtype=torch.uint8)})
    assert net.steps == 1


def test_a_double_and_a_half_file_load() -> None:
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        net = nn.Linear(2, 3)
        load_weights(net, {"weight": torch.full((3, 2), 0.25, dtype=dtype)})
        assert torch.equal(net.weight, torch.full((3, 2), 0.25))
        assert net.weight.dtype == torch.float32


def test_a_single_number_loads_as_a_vector_of_one() -> None:
    net = nn.Module()
    net.alpha = nn.Parameter(torch.zeros(1))
    load_weights(net, {"alpha": torch.tensor(0.25)})
    assert torch.equal(net.alpha, torch.tensor([0.25]))


def test_a_state_besides_tensors_is_left_alone_and_reported_missing() -> None:
    class Counting(nn.Linear):
        def get_extra_state(self) -> int:
            return 7

        def set_extra_state(self, state: int) -> None:
            raise AssertionError("load_weights loads tensors only")

    state = Counting(2, 3).state_dict()
    net = Counting(2, 3)
    assert load_weights(net, state).missing == ("_extra_state",)
    assert torch.equal(net.weight, state["weight"])


@pytest.mark.parametrize("wrap", [nn.Module.state_dict, lambda net: nn.DataParallel(net).state_dict()])
def test_a_file_of_before_the_first_release_loads(wrap, caplog) -> None:
    caplog.set_level(logging.INFO)
    net = build_agdtnet(3, num_frames=2)
    with torch.no_grad():
        net.temporal.enhancer.alpha_forward.fill_(0.25)
    old = {key.replace("backbone.attention.", "attention."): value for key, value in wrap(net).items()}
    old = {key: value[0] if "alpha" in key else value for key, value in old.items()}
    assert any(key.removeprefix("module.").startswith("attention.layer2.") for key in old)
    assert {value.shape for key, value in old.items() if "alpha" in key} == {()}
    fresh = build_agdtnet(3, num_frames=2)
    report = load_weights(fresh, old)
    assert not report.missing
    assert not report.unused
    assert caplog.records[-1].levelname == "INFO"
    for name, value in net.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


@pytest.mark.parametrize("made", ["expanded", "in inference mode"])
def test_a_tensor_that_cannot_be_written_to_leaves_the_model_unchanged_and_the_advice_works(made: str) -> None:
    net = nn.Linear(2, 3)
    if made == "expanded":
        net.bias = nn.Parameter(torch.zeros(1).expand(3))
    else:
        with torch.inference_mode():
            net.bias = nn.Parameter(torch.zeros(3))
    before, state = net.weight.clone(), {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    with pytest.raises(ValueError, match=f"the model: bias cannot be written to\\. Load the weights before .*{made}"):
        load_weights(net, state)
    assert torch.equal(net.weight, before)
    assert torch.equal(net.bias, torch.zeros(3))
    early = nn.Linear(2, 3)
    load_weights(early, state)
    early.bias = nn.Parameter(early.bias[:1].expand(3))
    assert torch.equal(early.bias, state["bias"])


def test_a_lazy_module_is_refused_and_the_advice_works() -> None:
    net, state = nn.LazyLinear(3), nn.Linear(2, 3).state_dict()
    with pytest.raises(ValueError, match=r"weight has no shape yet in the model \(call the model once before\)"):
        load_weights(net, state)
    net(torch.zeros(1, 2))
    load_weights(net, state)
    assert torch.equal(net.weight, state["weight"])


def test_a_source_is_not_changed_and_not_kept() -> None:
    net, weight = nn.Linear(2, 3), torch.ones(3, 2)
    load_weights(net, {"weight": weight})
    with torch.no_grad():
        net.weight.zero_()
    assert torch.equal(weight, torch.ones(3, 2))


def test_attention_that_was_inserted_afterwards_is_no_warning(caplog, backbone_state) -> None:
    caplog.set_level(logging.INFO)
    host = ResNet18()
    state = host.state_dict()
    insert_attention(host, ["layer2", "layer3"], example_input=torch.zeros(1, 3, 32, 32))
    report = load_weights(host, state)
    assert caplog.records[-1].levelname == "INFO"
    assert report.new_attention == report.missing
    assert len(report.missing) == 18
    assert str(report).splitlines()[1].startswith("  new attention, as made: layer2.agdt_attention.")
    assert "missing" not in str(report)
    del state["conv1.weight"]
    report = load_weights(host, state)
    assert caplog.records[-1].levelname == "WARNING"
    assert str(report).splitlines()[2] == "  missing: conv1.weight"


def test_attention_that_a_source_has_in_part_is_missing(caplog) -> None:
    host = ResNet18()
    insert_attention(host, ["layer2", "layer3"], example_input=torch.zeros(1, 3, 32, 32))
    state = {key: value for key, value in host.state_dict().items() if not key.startswith("layer3.agdt_attention")}
    report = load_weights(host, state)
    assert caplog.records[-1].levelname == "WARNING"
    assert report.new_attention == ()
    assert len(report.missing) == 9


def test_a_network_without_attention_loads_into_one_with_attention(caplog) -> None:
    caplog.set_level(logging.INFO)
    bare = build_agdtnet(3, num_frames=2, attention="none", temporal="mean")
    report = load_weights(build_agdtnet(3, num_frames=2, temporal="mean"), bare.state_dict())
    assert caplog.records[-1].levelname == "INFO"
    assert len(report.new_attention) == 18


def test_a_source_that_matches_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no key of this model.*backbone\.conv1\.weight.*encoder\.weight"):
        load_weights(small_net(), {"encoder.weight": torch.zeros(3)})


@pytest.mark.parametrize(
    ("model", "source", "said"),
    [
        (None, {}, r"expects a torch\.nn\.Module, got None\."),
        (3, {}, r"expects a torch\.nn\.Module, got a int\."),
        (nn.Linear(2, 3), None, r"expects a file or a state dict, got None\."),
        (nn.Linear(2, 3), [torch.zeros(3)], r"expects a file or a state dict, got a list\."),
    ],
)
def test_arguments_of_another_kind_are_named(model, source, said: str) -> None:
    with pytest.raises(TypeError, match=f"^load_weights {said}$"):
        load_weights(model, source)
