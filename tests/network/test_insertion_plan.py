"""The plan of an insertion: which places names and patterns mean, what they cost, and that planning changes nothing."""

import copy

import torch
from torch import Tensor

from agdt_layers import AdaptiveGlobalAttention, InsertionPlan, SqueezeExcitation, insert_attention
from helpers.hosts import IMAGES, Host, host


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
