"""Keys of a file match keys of a model, ignoring what wrappers add to either."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from agdt_layers import build_agdtnet, load_weights
from helpers.agreement import settled

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def backbone_state() -> State:
    return {name: value.float() for name, value in settled().state_dict().items() if value.is_floating_point()}


def small_net() -> nn.Module:
    return build_agdtnet(3, num_frames=2, attention="se", temporal="mean")


def assert_backbone_is(net: nn.Module, state: State) -> None:
    loaded = net.backbone.state_dict()
    for name, value in state.items():
        assert torch.equal(loaded[name], value), name


def renamed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


SOURCES: dict[str, Callable[[State], object]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 7},
    "model": lambda state: {"model": state},
    "parallel": lambda state: renamed(state, "module."),
    "compiled, then parallel": lambda state: renamed(state, "module._orig_mod."),
    "parallel, then compiled": lambda state: renamed(state, "_orig_mod.module."),
    "wrapped inside": lambda state: renamed(state, "backbone._orig_mod.module."),
    "recomputed, then sharded": lambda state: renamed(state, "_fsdp_wrapped_module._checkpoint_wrapped_module."),
    "state_dict of parallel": lambda state: {"state_dict": renamed(state, "module.")},
    "training module": lambda state: {"state_dict": renamed(state, "net._orig_mod.")},
    "backbone": lambda state: renamed(state, "backbone."),
    "with a classifier": lambda state: state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)},
    "averaged": lambda state: renamed(state, "module.") | {"n_averaged": torch.tensor(5)},
}


@pytest.mark.parametrize("wrap", SOURCES.values(), ids=SOURCES)
def test_backbone_loads_from_every_form_of_its_state(wrap, backbone_state: State, tmp_path: Path) -> None:
    source, file = wrap(backbone_state), tmp_path / "weights.pt"
    torch.save(source, file)
    for given in (source, file):
        net = small_net()
        load_weights(net, given)
        assert_backbone_is(net, backbone_state)


@pytest.fixture
def process_group() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "bare": lambda net: net,
    "DataParallel": nn.DataParallel,
    "DDP": DistributedDataParallel,
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "compiled DataParallel": lambda net: torch.compile(nn.DataParallel(net), backend="eager"),
    "averaged": AveragedModel,
}


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("saved_as", WRAPPERS.values(), ids=WRAPPERS)
def test_every_wrapper_loads_from_every_other(wrap, saved_as) -> None:
    trained, fresh = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    with torch.no_grad():
        trained.weight.uniform_()
    wrapped = wrap(fresh)
    report = load_weights(wrapped, saved_as(trained).state_dict())
    assert torch.equal(next(wrapped.parameters()), trained.weight)
    assert set(report.matched) - {"n_averaged"} == set(trained.state_dict())
    assert {*report.missing, *report.unused} <= {"n_averaged"}


@pytest.mark.parametrize("wrap", [nn.DataParallel, AveragedModel])
def test_backbone_of_a_wrapped_model_loads(wrap, backbone_state: State) -> None:
    net = wrap(small_net())
    report = load_weights(net, backbone_state)
    assert_backbone_is(net.module, backbone_state)
    assert report.target == "backbone"
    assert set(report.matched) == set(backbone_state)


def test_wrapped_backbone_loads(backbone_state: State) -> None:
    net = small_net()
    net.backbone = nn.DataParallel(net.backbone)
    assert load_weights(net, backbone_state).target == "backbone"
    assert_backbone_is(nn.ModuleDict({"backbone": net.backbone.module}), backbone_state)
    assert not load_weights(net, small_net().state_dict()).missing


@pytest.mark.parametrize("given", [{"weight", "module.weight"}, {"_orig_mod.weight", "module.weight"}])
def test_two_keys_for_one_tensor_raise(given: set[str]) -> None:
    net = nn.Linear(2, 2)
    state = {key: torch.ones(2, 2) for key in sorted(given)}
    with pytest.raises(ValueError, match=r"^the state dict has '.*' and '.*', which differ only .*\. Remove one\.$"):
        load_weights(net, state)
    del state["module.weight"]
    load_weights(net, state)
    assert torch.equal(net.weight, torch.ones(2, 2))


def test_model_whose_keys_differ_only_in_wrapper_prefixes_raises() -> None:
    net = nn.ModuleDict({"a": nn.Linear(2, 2), "module": nn.ModuleDict({"a": nn.Linear(2, 2)})})
    with pytest.raises(ValueError, match=r"^the model has 'a\.weight' and 'module\.a\.weight'"):
        load_weights(net, {"module.a.weight": torch.ones(2, 2)})


def test_training_module_with_two_fitting_models_raises() -> None:
    net = nn.Linear(2, 2)
    both = {"net.weight": torch.ones(2, 2), "model.weight": torch.zeros(2, 2), "loss.weight": torch.ones(7)}
    with pytest.raises(ValueError, match=r"fits with prefix 'model\.' and with 'net\.'\. Keep the keys of only one\."):
        load_weights(net, both)
    report = load_weights(net, {key: value for key, value in both.items() if not key.startswith("model")})
    assert torch.equal(net.weight, both["net.weight"])
    assert report.unused == ("loss.weight",)


def test_best_matching_part_of_a_file_is_loaded() -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    state = {"0.weight": torch.zeros(2, 2), "model.0.weight": torch.ones(2, 2), "model.0.bias": torch.ones(2)}
    report = load_weights(net, state)
    assert torch.equal(net[0].weight, torch.ones(2, 2))
    assert report.unused == ("0.weight",)


def test_target_with_more_matching_keys_is_loaded() -> None:
    net = nn.Module()
    net.backbone = nn.ModuleDict({"body": nn.Linear(2, 2), "classifier": nn.Linear(2, 3)})
    net.classifier = nn.Linear(2, 3)
    state = {name: torch.ones_like(value) for name, value in net.backbone.state_dict().items()}
    before = net.classifier.weight.clone()
    assert load_weights(net, state).target == "backbone"
    assert torch.equal(net.classifier.weight, before)
    assert torch.equal(net.backbone["classifier"].weight, state["classifier.weight"])


def test_source_without_matching_keys_raises() -> None:
    with pytest.raises(ValueError, match=r"no key of this model.*backbone\.conv1\.weight.*encoder\.weight"):
        load_weights(small_net(), {"encoder.weight": torch.zeros(3)})
