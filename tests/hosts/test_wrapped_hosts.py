"""Hosts that are compiled, traced, checkpointed or wrapped: attention takes effect, or an error names the cause.

If a message gives advice, the test follows it and checks that it works.
"""

import copy

import pytest
import torch
from torch import Tensor, fx, nn

from agdt_layers import insert_attention, remove_attention
from helpers.hosts import IMAGES, Checkpointed, Host, attention_of, host
from helpers.strategies import random_tensor


def test_attention_is_inserted_into_and_removed_from_a_compiled_model() -> None:
    model = host()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        before = compiled(IMAGES)
        insert_attention(compiled, ["_orig_mod.own", "_orig_mod.sequential"], example_input=IMAGES)
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))
        assert not torch.equal(compiled(IMAGES), before)
        remove_attention(model)
        assert torch.equal(compiled(IMAGES), before)
        # The wrapper is outside the model, which holds no reference to it.
        insert_attention(model, ["own"], example_input=IMAGES)
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))
        assert not torch.equal(compiled(IMAGES), before)


@torch.no_grad()
def test_trial_runs_do_not_reuse_compiled_code() -> None:
    class Shifted(Host):
        """Cannot run on the meta device, because its shift is not a buffer."""

        def __init__(self) -> None:
            super().__init__()
            self.shift = torch.zeros(1)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + self.shift)

    model = Shifted().eval()
    compiled = torch.compile(model, backend="eager")
    compiled(IMAGES)
    insert_attention(compiled, ["_orig_mod.own"], example_input=IMAGES)
    torch.testing.assert_close(compiled(IMAGES), model(IMAGES))


@pytest.mark.parametrize("in_place", [False, True])
def test_attention_after_a_compiled_submodule(in_place: bool) -> None:
    model, eager = host(), host()
    name = "own" if in_place else "own._orig_mod"
    if in_place:
        model.own.compile(backend="eager")
    else:
        model.own = torch.compile(model.own, backend="eager")
        with pytest.raises(ValueError, match=r"Name the module inside: 'own._orig_mod'\."):
            insert_attention(model, ["own"], example_input=IMAGES)
    with torch.no_grad():
        model(IMAGES)
        for net, place in ((model, name), (eager, "own")):
            torch.manual_seed(1)
            insert_attention(net, [place, "walker"], example_input=IMAGES)
        torch.testing.assert_close(model(IMAGES), eager(IMAGES))
        assert not torch.allclose(model(IMAGES), host()(IMAGES), atol=1e-5)
        remove_attention(model)
        torch.testing.assert_close(model(IMAGES), host()(IMAGES))


def test_insertion_into_an_fx_graph_raises_and_the_advice_works() -> None:
    graph = fx.symbolic_trace(host())
    with pytest.raises(ValueError, match=r"'own' is never called .* torch.fx graph or uses .* Insert attention before"):
        insert_attention(graph, ["own"], example_input=IMAGES)
    with pytest.raises(ValueError, match=r"or after a part of it\. Nearest feature maps: 'own.norm', 'own.conv'"):
        insert_attention(graph, ["own"], example_input=IMAGES)
    with pytest.warns(UserWarning, match=r"Attention after 'own.norm' is lost"):
        insert_attention(graph, ["own.norm"], example_input=IMAGES)
    (layer,) = attention_of(graph).values()
    bare = host()
    bare.own.norm.register_forward_hook(lambda module, args, output: layer(output))
    assert torch.equal(graph(IMAGES), bare(IMAGES))


def test_insertion_after_a_checkpointed_stage_raises_and_the_advice_works() -> None:
    model = Checkpointed().eval()
    model.set_grad_checkpointing()
    with pytest.raises(ValueError, match=r"'blocks' is never called .* checkpointing\. Insert attention before"):
        insert_attention(model, ["blocks"], example_input=IMAGES)
    insert_attention(copy.deepcopy(model), ["blocks.1"], example_input=IMAGES)
    model.set_grad_checkpointing(False)
    insert_attention(model, ["blocks", "blocks.0"], example_input=IMAGES)
    gradients = []
    for checkpointing in (False, True):
        model.set_grad_checkpointing(checkpointing)
        model.zero_grad()
        output = model(IMAGES)
        output.square().sum().backward()
        gradients.append([output, *(p.grad for p in model.parameters())])
    assert all(map(torch.equal, *gradients))
    assert all(gradient.any() for gradient in gradients[0])


def test_insertion_after_a_module_list_raises_and_names_its_parts() -> None:
    class Stages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)])

        def forward(self, x: Tensor) -> Tensor:
            for stage in self.stages:
                x = stage(x)
            return x

    with pytest.raises(ValueError, match=r"it is a container, .* Nearest feature maps: 'stages.1', 'stages.0'"):
        insert_attention(Stages(), ["stages"], example_input=IMAGES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_insertion_into_scripted_and_sharded_models_raises() -> None:
    with pytest.raises(
        ValueError, match=r"'0' is inside a ScriptModule, which accepts no new layers after it is created\. Insert"
    ):
        insert_attention(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))), ["0"], example_input=IMAGES)

    class DistributedDataParallel(nn.Module):
        """A stand-in, because the real one needs a process group. Only the name and the child matter."""

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Tensor) -> Tensor:
            return self.module(x)

    with pytest.raises(ValueError, match=r"'module.own' is inside a DistributedDataParallel, .* Insert attention"):
        insert_attention(DistributedDataParallel(host()), ["module.own"], example_input=IMAGES)


@pytest.mark.parametrize("place", ["own", "sequential", "dense", "walker", "own.conv"])
@pytest.mark.filterwarnings("ignore:Attention after:UserWarning")
def test_graph_traced_after_insertion_contains_the_attention(place: str) -> None:
    model = host()
    insert_attention(model, [place], example_input=IMAGES)
    graph = fx.symbolic_trace(model)
    others = random_tensor((3, 3, 20, 12), 1, torch.float32)
    for images in (IMAGES, others):
        assert torch.equal(graph(images), model(images))
