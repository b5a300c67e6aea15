"""insert_attention and remove_attention: attention runs at the right places and the host's keys do not change."""

import copy
import functools
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
from helpers.hosts import EVERYWHERE, IMAGES, Dense, Host, attention_of, host, inserted

starts_as_identity = functools.partial(AdaptiveGlobalAttention, residual_scale=True)


def by_hand(model: Host, x: Tensor) -> Tensor:
    """Run Host's forward pass with attention called explicitly."""
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


def test_host_file_loads_before_and_after_insertion(tmp_path: Path) -> None:
    bare = host(1)
    torch.save(bare.state_dict(), tmp_path / "host.pth")
    before = host(2)
    load_weights(before, tmp_path / "host.pth")
    insert_attention(before, dict.fromkeys(EVERYWHERE, starts_as_identity), example_input=IMAGES)
    after = host(3)
    insert_attention(after, dict.fromkeys(EVERYWHERE, starts_as_identity), example_input=IMAGES)
    report = load_weights(after, tmp_path / "host.pth")
    assert report.matched == tuple(bare.state_dict())
    assert report.missing
    assert all("agdt_attention" in key for key in report.missing)
    for model in (before, after):
        assert torch.equal(model(IMAGES), bare(IMAGES)), "residual_scale=True does not start as the identity"


def test_removal_restores_the_host_bit_for_bit() -> None:
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
    with pytest.raises(ValueError, match=r"found no attention from insert_attention in Host"):
        remove_attention(bare)


def test_gradients_reach_attention_and_host() -> None:
    model = host().train()
    insert_attention(model, dict.fromkeys(EVERYWHERE, starts_as_identity), example_input=IMAGES)
    assert all(layer.training for layer in attention_of(model).values())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(IMAGES).square().sum().backward()
    for name, layer in attention_of(model).items():
        assert layer.residual_scale.grad != 0, name
        assert layer.channel.fc.weight.grad.count_nonzero() == 0, "a gradient passed a scale of 0"
    optimizer.step()
    optimizer.zero_grad()
    model(IMAGES).square().sum().backward()
    for name, layer in attention_of(model).items():
        assert all(p.grad.isfinite().all() and p.grad.any() for p in layer.parameters()), name
    assert model.sequential[0].conv.weight.grad.any()


def test_submodule_can_hold_its_own_attention_and_that_of_a_block() -> None:
    model = host()
    insert_attention(model, ["dense", "dense.first"], example_input=IMAGES)
    assert {name: layer.channels for name, layer in attention_of(model).items()} == {
        "dense.first.agdt_attention_further_up": 17,
        "dense.first.agdt_attention": 3,
    }
    with capture_attention(model) as maps:
        model(IMAGES)
    assert len(maps) == 2


def test_two_places_never_share_a_holder() -> None:
    class Rectified(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(super().forward(x))

    model = nn.Sequential(Rectified(Dense(3, 2))).eval()
    bare = copy.deepcopy(model)
    insert_attention(model, ["0", "0.0"], example_input=IMAGES)
    layers = attention_of(model)
    outer, inner = "0.0.first.agdt_attention_further_up", "0.0.first.conv.agdt_attention_further_up"
    assert set(layers) == {outer, inner}
    assert torch.equal(model(IMAGES), layers[outer](torch.relu(layers[inner](bare[0][0](IMAGES)))))


def test_dry_run_changes_nothing() -> None:
    model = host().train()
    state = copy.deepcopy(model.state_dict())
    random_state = torch.get_rng_state()
    made_there = functools.partial(AdaptiveGlobalAttention, device=IMAGES.device)
    plan = insert_attention(model, {"own": made_there}, example_input=IMAGES, dry_run=True)
    assert isinstance(plan, InsertionPlan)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert list(state) == list(model.state_dict())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_plan_prints_a_table() -> None:
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


def test_last_matching_pattern_wins() -> None:
    model = host()
    plan = insert_attention(model, {"ow*": AdaptiveGlobalAttention, "own": SqueezeExcitation}, example_input=IMAGES)
    assert [place.name for place in plan.placements] == ["own"]
    assert isinstance(model.own.agdt_attention, SqueezeExcitation)


def test_submodule_with_two_names_gets_one_attention() -> None:
    model = host()
    model.alias = model.own
    plan = insert_attention(model, ["[ao][lw]*"], example_input=IMAGES)
    assert [place.name for place in plan.placements] == ["own"]


def test_model_that_cannot_run_on_meta_runs_on_its_device() -> None:
    class Picky(Host):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum().item() < 1e9 else -x)

    model = Picky().eval()
    assert insert_attention(model, ["own"], example_input=IMAGES).placements[0].channels == 7
