"""Hosts that are compiled, traced, recomputed or wrapped: attention takes effect, or an error names the cause.

Where a message advises something, the test does it and sees it work.
"""

import copy

import pytest
import torch
from torch import Tensor, fx, nn

from agdt_layers import insert_attention, remove_attention
from helpers.hosts import IMAGES, Checkpointed, Host, attention_of, host
from helpers.strategies import random_tensor


def test_a_compiled_model_takes_attention_in_and_gives_it_back() -> None:
    model = host()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        before = compiled(IMAGES)
        insert_attention(compiled, ["_orig_mod.own", "_orig_mod.sequential"], example_input=IMAGES)
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))
        assert not torch.equal(compiled(IMAGES), before)
        remove_attention(model)
        assert torch.equal(compiled(IMAGES), before)
        # The wrapper stands elsewhere, and the model itself shows nothing of it.
        insert_attention(model, ["own"], example_input=IMAGES)
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))
        assert not torch.equal(compiled(IMAGES), before)


@torch.no_grad()
def test_compiled_code_that_fits_the_copy_too_is_not_run() -> None:
    class Shifted(Host):
        """Not to be run on the meta device, for its shift is no buffer."""

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
def test_attention_after_a_compiled_part(in_place: bool) -> None:
    model, eager = host(), host()
    name = "own" if in_place else "own._orig_mod"
    if in_place:
        model.own.compile(backend="eager")
    else:
        model.own = torch.compile(model.own, backend="eager")
        with pytest.raises(ValueError, match=r"Name the module: 'own._orig_mod'\."):
            insert_attention(model, ["own"], example_input=IMAGES)
    with torch.no_grad():
        model(IMAGES)
        for net, place in ((model, name), (eager, "own")):
            torch.manual_seed(1)
            insert_attention(net, [place, "walker"], example_input=IMAGES)
        # The compiled map is not rescaled in place, so its products are rounded in another order.
        torch.testing.assert_close(model(IMAGES), eager(IMAGES))
        remove_attention(model)
        assert torch.equal(model(IMAGES), host()(IMAGES))


def test_a_graph_of_fx_names_the_cause_and_the_advice_works() -> None:
    graph = fx.symbolic_trace(host())
    with pytest.raises(
        ValueError, match=r"'own' itself is not run, .* a graph of torch.fx or uses .* Insert attention before"
    ):
        insert_attention(graph, ["own"], example_input=IMAGES)
    with pytest.raises(ValueError, match=r"or after a part\. The nearest that do: 'own.norm', 'own.conv'"):
        insert_attention(graph, ["own"], example_input=IMAGES)
    with pytest.warns(UserWarning, match=r"Attention after 'own.norm' is lost"):
        insert_attention(graph, ["own.norm"], example_input=IMAGES)
    (layer,) = attention_of(graph).values()
    bare = host()
    bare.own.norm.register_forward_hook(lambda module, args, output: layer(output))
    assert torch.equal(graph(IMAGES), bare(IMAGES))


def test_a_checkpointed_host_names_the_cause_and_the_advice_works() -> None:
    model = Checkpointed().eval()
    model.set_grad_checkpointing()
    with pytest.raises(ValueError, match=r"'blocks' itself is not run, .* checkpointing\. Insert attention before"):
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


def test_a_container_that_only_holds_its_parts_says_so() -> None:
    class Stages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)])

        def forward(self, x: Tensor) -> Tensor:
            for stage in self.stages:
                x = stage(x)
            return x

    with pytest.raises(ValueError, match=r"it only holds them, .* The nearest that do: 'stages.1', 'stages.0'"):
        insert_attention(Stages(), ["stages"], example_input=IMAGES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_and_sharded_models_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"'0' is in a ScriptModule, which takes no new layers once it is made\. Insert attention"
    ):
        insert_attention(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))), ["0"], example_input=IMAGES)

    class DistributedDataParallel(nn.Module):
        """The real one needs a process group; what counts is that it holds the model."""

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Tensor) -> Tensor:
            return self.module(x)

    with pytest.raises(
        ValueError, match=r"'module.own' is in a DistributedDataParallel, .* Insert attention into the model first"
    ):
        insert_attention(DistributedDataParallel(host()), ["module.own"], example_input=IMAGES)


@pytest.mark.parametrize("place", ["own", "sequential", "dense", "walker", "own.conv"])
@pytest.mark.filterwarnings("ignore:Attention after:UserWarning")
def test_attention_is_in_a_graph_traced_afterwards(place: str) -> None:
    model = host()
    insert_attention(model, [place], example_input=IMAGES)
    graph = fx.symbolic_trace(model)
    others = random_tensor((3, 3, 20, 12), 1, torch.float32)
    for images in (IMAGES, others):
        assert torch.equal(graph(images), model(images))
