"""insert_attention and remove_attention: the right places and channels, the host's keys and the host unharmed."""

import copy
import functools
import io
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    AdaptiveGlobalAttention,
    InsertionPlan,
    SqueezeExcitation,
    capture_attention,
    insert_attention,
    load_weights,
    remove_attention,
)
from helpers.hosts import Host, host
from helpers.strategies import random_tensor

IMAGES = random_tensor((2, 3, 16, 24), 0, torch.float32)
CHANNELS = {"sequential": 5, "own": 7, "walker": 11, "dense": 17, "twice": 17}
EVERYWHERE = list(CHANNELS)
identity_at_first = functools.partial(AdaptiveGlobalAttention, residual_scale=True)


def inserted(names: list[str] = EVERYWHERE, **settings: object) -> Host:
    model = host()
    insert_attention(model, names, example_input=IMAGES, **settings)
    return model


def attention_of(model: nn.Module) -> dict[str, AdaptiveGlobalAttention]:
    return {name: m for name, m in model.named_modules() if isinstance(m, AdaptiveGlobalAttention)}


def changed(model: Host) -> Host:
    """The same model with other attention, so that one that uses the wrong parameters is found out."""
    with torch.no_grad():
        for layer in attention_of(model).values():
            for parameter in layer.parameters():
                parameter.add_(0.5)
    return model


def assert_bare(model: Host) -> None:
    bare = host()
    assert list(model.state_dict()) == list(bare.state_dict())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(model(IMAGES), bare(IMAGES))


def by_hand(model: Host, x: Tensor) -> Tensor:
    """The forward pass of Host with attention written out."""
    (sequential, own, walker, dense, twice) = (
        model.sequential.agdt_attention,
        model.own.agdt_attention,
        model.walker.agdt_attention,
        model.dense.first.agdt_attention_further_up,
        model.twice.agdt_attention,
    )
    bare = copy.deepcopy(model)
    remove_attention(bare)
    x = dense(bare.dense(walker(bare.walker(own(bare.own(sequential(bare.sequential(x))))))))
    x = twice(bare.twice(nn.functional.max_pool2d(twice(bare.twice(x)), 2)))
    return bare.head(x.mean(dim=(2, 3)))


def test_attention_is_applied_once_after_every_place() -> None:
    model = inserted()
    assert {name: layer.channels for name, layer in attention_of(model).items()} == {
        "sequential.agdt_attention": 5,
        "own.agdt_attention": 7,
        "walker.agdt_attention": 11,
        "dense.first.agdt_attention_further_up": 17,
        "twice.agdt_attention": 17,
    }
    assert torch.equal(model(IMAGES), by_hand(model, IMAGES))


def test_the_hosts_keys_stay_and_its_file_loads_before_and_after(tmp_path: Path) -> None:
    bare = host(1)
    torch.save(bare.state_dict(), tmp_path / "host.pth")
    before = host(2)
    load_weights(before, tmp_path / "host.pth")
    insert_attention(before, dict.fromkeys(EVERYWHERE, identity_at_first), example_input=IMAGES)
    after = host(3)
    insert_attention(after, dict.fromkeys(EVERYWHERE, identity_at_first), example_input=IMAGES)
    report = load_weights(after, tmp_path / "host.pth")
    assert report.matched == tuple(bare.state_dict())
    assert report.missing
    assert all("agdt_attention" in key for key in report.missing)
    for model in (before, after):
        assert torch.equal(model(IMAGES), bare(IMAGES)), "residual_scale=True starts as the host, bit for bit"


def test_removal_gives_the_host_back_bit_for_bit() -> None:
    model, bare = inserted(), host()
    assert not torch.equal(model(IMAGES), bare(IMAGES))
    remove_attention(model)
    assert torch.equal(model(IMAGES), bare(IMAGES))
    assert list(model.state_dict()) == list(bare.state_dict())
    for left, fresh in zip(model.modules(), bare.modules(), strict=True):
        assert set(left.__dict__) == set(fresh.__dict__)
        assert len(left._modules) == len(fresh._modules)
        assert not left._forward_hooks
    insert_attention(model, EVERYWHERE, example_input=IMAGES)
    with pytest.raises(ValueError, match=r"Host has no attention by insert_attention"):
        remove_attention(bare)


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_a_copy_is_whole_and_independent(way: str) -> None:
    model = inserted()
    expected = model(IMAGES)
    if way == "deepcopy":
        twin = copy.deepcopy(model)
    elif way == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        twin = torch.load(buffer, weights_only=False)
    assert torch.equal(twin(IMAGES), expected)
    assert not torch.equal(changed(twin)(IMAGES), expected), "the copy runs its own attention"
    assert torch.equal(model(IMAGES), expected), "the original runs its own attention"
    remove_attention(twin)
    assert torch.equal(twin(IMAGES), host()(IMAGES))


def test_the_hook_of_an_unpickled_model_is_not_overwritten_by_the_next() -> None:
    data = pickle.dumps(inserted(["own"]))
    # A new process counts its hooks from 0 again.
    torch.utils.hooks.RemovableHandle.next_id = 0
    model = pickle.loads(data)
    expected = model(IMAGES)
    model.own.register_forward_hook(lambda module, args, output: None)
    assert len(model.own._forward_hooks) == 2
    assert torch.equal(model(IMAGES), expected)


def test_the_state_dict_goes_round() -> None:
    model, other = changed(inserted()), inserted()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(IMAGES), model(IMAGES))


def test_a_replica_runs_its_own_parameters() -> None:
    model = inserted()
    # What nn.DataParallel does to a model for every device, here with other parameters instead of another device.
    modules = list(model.modules())
    replicas = [module._replicate_for_data_parallel() for module in modules]
    for module, replica in zip(modules, replicas, strict=True):
        for name, child in module._modules.items():
            if child is not None:
                setattr(replica, name, replicas[modules.index(child)])
        for name, parameter in module._parameters.items():
            if parameter is None:
                replica._parameters[name] = None
            else:
                setattr(replica, name, parameter.detach() + 0.25)
        replica._buffers = dict(module._buffers)
    shifted = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in shifted.parameters():
            parameter.add_(0.25)
    assert torch.equal(replicas[0](IMAGES), shifted(IMAGES))


def test_compile_and_export_take_the_model_whole() -> None:
    model = inserted()
    with torch.no_grad():
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))
        sizes = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
        exported = torch.export.export(model, (IMAGES,), dynamic_shapes=(sizes,)).module()
        others = random_tensor((5, 3, 20, 12), 1, torch.float32)
        torch.testing.assert_close(exported(others), model(others))


def test_gradients_reach_attention_and_host() -> None:
    model = host().train()
    insert_attention(model, dict.fromkeys(EVERYWHERE, identity_at_first), example_input=IMAGES)
    assert all(layer.training for layer in attention_of(model).values())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(IMAGES).square().sum().backward()
    for name, layer in attention_of(model).items():
        assert layer.residual_scale.grad != 0, name
        assert layer.channel.fc.weight.grad.count_nonzero() == 0, "nothing flows past a scale of 0"
    optimizer.step()
    optimizer.zero_grad()
    model(IMAGES).square().sum().backward()
    for name, layer in attention_of(model).items():
        assert all(p.grad.isfinite().all() and p.grad.any() for p in layer.parameters()), name
    assert model.sequential[0].conv.weight.grad.any()


def test_planning_changes_nothing() -> None:
    model = host().train()
    state = copy.deepcopy(model.state_dict())
    random_state = torch.get_rng_state()
    plan = insert_attention(model, ["own"], example_input=IMAGES, dry_run=True)
    assert isinstance(plan, InsertionPlan)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert list(state) == list(model.state_dict())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_the_plan_is_a_table() -> None:
    plan = insert_attention(host(), {"twice": AdaptiveGlobalAttention, "own": SqueezeExcitation}, example_input=IMAGES)
    twice, own = plan.placements
    assert (twice.channels, twice.sizes, twice.hooked) == (17, ((8, 12), (4, 6)), True)
    assert own.parameters == sum(p.numel() for p in SqueezeExcitation(7).parameters())
    assert own.multiply_adds == 2 * 7, "7 channels to 1 and back"
    rows = str(plan).splitlines()
    assert rows[0].split() == ["after", "channels", "map", "parameters", "multiply-adds"]
    assert rows[1].split()[:4] == ["twice", "17", "8x12,", "4x6"]
    assert rows[-1].split()[0] == "total"
    assert len({len(row) for row in rows}) == 1


def test_patterns_match_within_one_part_of_a_name() -> None:
    model = host()
    plan = insert_attention(model, ["sequential.*", "ow?"], example_input=IMAGES)
    assert [place.name for place in plan.placements] == ["sequential.0", "sequential.1", "own"]


def test_a_submodule_with_two_names_gets_one_attention() -> None:
    model = host()
    model.alias = model.own
    plan = insert_attention(model, ["[ao][lw]*"], example_input=IMAGES)
    assert [place.name for place in plan.placements] == ["own"]


def test_a_model_that_meta_tensors_cannot_run_is_run_where_it_is() -> None:
    class Picky(Host):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum().item() < 1e9 else -x)

    model = Picky().eval()
    assert insert_attention(model, ["own"], example_input=IMAGES).placements[0].channels == 7


def test_attention_takes_the_dtype_of_its_host() -> None:
    model = host().double()
    insert_attention(model, EVERYWHERE, example_input=IMAGES.double(), num_frames=2)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert model(IMAGES.double()).dtype == torch.float64
    assert {layer.num_frames for layer in attention_of(model).values()} == {2}


def test_attention_takes_the_mode_of_its_place() -> None:
    model = host().train()
    model.own.eval()
    insert_attention(model, ["own", "walker"], example_input=IMAGES)
    assert {name: layer.training for name, layer in attention_of(model).items()} == {
        "own.agdt_attention": False,
        "walker.agdt_attention": True,
    }


@pytest.mark.filterwarnings("ignore:Attention after:UserWarning")
def test_attention_takes_the_device_of_its_place_or_of_what_is_nearest_around_it() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 5, 3, device="meta"), nn.ReLU()))
    insert_attention(model, ["0", "1.1"], example_input=IMAGES)
    devices = {name: {p.device.type for p in layer.parameters()} for name, layer in attention_of(model).items()}
    assert devices == {"0.agdt_attention": {"cpu"}, "1.1.agdt_attention": {"meta"}}


def test_two_places_that_would_share_a_carrier_do_not() -> None:
    model = host()
    insert_attention(model, ["dense", "dense.first"], example_input=IMAGES)
    assert {name: layer.channels for name, layer in attention_of(model).items()} == {
        "dense.first.agdt_attention_further_up": 17,
        "dense.first.agdt_attention": 3,
    }
    with capture_attention(model) as maps:
        model(IMAGES)
    assert len(maps) == 2


class Narrowing(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:]


@pytest.mark.parametrize(
    ("attention", "error", "message"),
    [
        (["squential"], ValueError, r"No submodule of Host is named 'squential'. The nearest: sequential"),
        (["layer*"], ValueError, r"No submodule of Host is named 'layer\*'. The nearest: "),
        (["head"], ValueError, r"The output of 'head' is \(2, 3\); attention follows a feature map, \(N, C, H, W\) or"),
        (["pair"], ValueError, r"The output of 'pair' is tuple; .* The nearest that do: 'twice', 'dense'"),
        (["unused"], ValueError, r"The example input does not run 'unused'"),
        (["own", 3], ValueError, r"at least one name of a submodule, each a string; got \['own', 3\]"),
        ([], ValueError, r"at least one name of a submodule, each a string; got \[\]"),
        (["own", "ow*"], ValueError, r"'own' is named twice, by 'own' and by 'ow\*'"),
        ("own", TypeError, r"got 'own'. One name is \['own'\]"),
        ({"own": AdaptiveGlobalAttention(7)}, TypeError, r"every place needs a layer of its own. Give the class"),
        ({"own": Narrowing}, ValueError, r"turns \(1, 7, 8, 12\) into \(1, 6, 8, 12\); it must keep the shape"),
        ({"own": lambda channels: channels}, TypeError, r"The attention for 'own' made int, expected a torch.nn"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changed(attention: object, error: type, message: str) -> None:
    model = host()
    with pytest.raises(error, match=message):
        insert_attention(model, attention, example_input=IMAGES)
    assert_bare(model)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_frames": 0}, ValueError, r"insert_attention expects num_frames to be at least 1, got 0"),
        ({"num_frames": 2.0}, TypeError, r"insert_attention expects num_frames to be an integer, got 2.0"),
        ({"example_input": None}, TypeError, r"expects example_input to be an input of the model, .* got NoneType"),
        ({"example_input": IMAGES[:, :2]}, ValueError, r"Host cannot be run on the example input \(2, 2, 16, 24\)"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_settings_are_checked_before_anything_changes(
    settings: dict[str, object], error: type, message: str, dry_run: bool
) -> None:
    model = host()
    with pytest.raises(error, match=message):
        insert_attention(model, EVERYWHERE, dry_run=dry_run, **{"example_input": IMAGES, **settings})
    assert_bare(model)


def test_no_module_is_refused() -> None:
    for function in (functools.partial(insert_attention, attention=["own"], example_input=IMAGES), remove_attention):
        with pytest.raises(TypeError, match=r"_attention expects model to be a torch.nn.Module, got NoneType"):
            function(None)


def test_a_failure_in_the_middle_leaves_the_model_as_it_was() -> None:
    model = host()
    insert_attention(model, ["own"], example_input=IMAGES)
    expected, keys = model(IMAGES), list(model.state_dict())

    def fail(*_: object) -> None:
        raise MemoryError

    model.twice.register_forward_hook = fail
    with pytest.raises(MemoryError):
        insert_attention(model, ["sequential", "walker", "dense", "twice"], example_input=IMAGES)
    assert list(model.state_dict()) == keys
    assert torch.equal(model(IMAGES), expected)
    assert sum(len(module._forward_hooks) for module in model.modules()) == 1
    remove_attention(model)
    assert torch.equal(model(IMAGES), host()(IMAGES))


@pytest.mark.parametrize("name", EVERYWHERE)
def test_inserting_twice_at_one_place_is_refused(name: str) -> None:
    model = inserted()
    with pytest.raises(ValueError, match=f"'{name}' has attention already"):
        insert_attention(model, [name], example_input=IMAGES)
