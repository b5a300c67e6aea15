"""Activation checkpointing: recomputation in the backward pass uses the clip axis of the forward pass."""

import copy
import gc
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import graph
from torch.utils.checkpoint import checkpoint

from agdt_layers import AGDTNet, FrameWise, build_agdtnet, insert_attention
from helpers.hosts import Host, host
from helpers.older_torch import SHOWS_HOOKS
from helpers.strategies import end_padding, random_tensor

MASKS = pytest.mark.parametrize("mask", [None, end_padding([3, 1], 3)], ids=["all", "masked"])
REENTRANT = pytest.mark.parametrize("use_reentrant", [False, True], ids=["saved tensors", "reentrant"])


def clips(batch: int, num_frames: int, size: tuple[int, int] = (16, 24)) -> Tensor:
    return random_tensor((batch, num_frames, 3, *size), 0, torch.float32).requires_grad_()


class Recomputed(nn.Module):
    """Checkpoints a module of one argument, as a user would."""

    def __init__(self, inside: nn.Module, use_reentrant: bool) -> None:
        super().__init__()
        self.inside, self.use_reentrant = inside, use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inside, x, use_reentrant=self.use_reentrant)


class Stages(nn.Module):
    """The host's first stages, each wrapped by ``wrap``."""

    def __init__(self, model: Host, wrap: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.model = model
        self.stages = nn.ModuleList(map(wrap, (model.sequential, model.own, model.walker, model.dense)))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return x


def encoder(**settings: int) -> Host:
    model = host()
    insert_attention(model, ["sequential", "own", "dense"], example_input=torch.zeros(2, 3, 16, 24), **settings)
    return model


def gradients(loss: Tensor, *models: nn.Module) -> dict[str, Tensor]:
    loss.backward()
    named = (pair for model in models for pair in model.named_parameters())
    return {f"{number} {name}": p.grad for number, (name, p) in enumerate(named) if p.grad is not None}


def assert_equal_gradients(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    assert len(got) > 10
    for name, gradient in got.items():
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5 * scale, msg=name)


@pytest.mark.proves("FrameWise", "activation checkpointing")
@pytest.mark.parametrize("at_insertion", [False, True])
@MASKS
@REENTRANT
def test_gradients_with_checkpoints_inside_framewise(
    use_reentrant: bool, mask: Tensor | None, at_insertion: bool
) -> None:
    settings = {"num_frames": 3} if at_insertion else {}

    def run(wrap: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
        model, x = encoder(**settings), clips(2, 3)
        loss = FrameWise(Stages(model, wrap))(x, mask=mask).square().mean()
        return {**gradients(loss, model), "x": x.grad}

    assert_equal_gradients(run(lambda part: Recomputed(part, use_reentrant)), run(lambda part: part))


class Features:
    """An output whose contents FrameWise does not unfold."""

    def __init__(self, maps: Tensor) -> None:
        self.maps = maps


@dataclass
class Output:
    maps: Tensor


OUTPUTS: dict[str, tuple[Callable[[Tensor], object], Callable[[Any], Tensor]]] = {
    "tensor": (lambda maps: maps, lambda output: output),
    "dataclass": (Output, lambda output: output.maps),
    "another class": (Features, lambda output: output.maps),
    "dict in a list": (lambda maps: [{"maps": maps}], lambda output: output[0]["maps"]),
}


class Returning(nn.Module):
    def __init__(self, inside: nn.Module, make: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.inside, self.make = inside, make

    def forward(self, x: Tensor) -> object:
        return self.make(self.inside(x))


@REENTRANT
@pytest.mark.parametrize(("make", "maps_of"), OUTPUTS.values(), ids=OUTPUTS)
def test_gradients_do_not_depend_on_the_type_of_output(
    make: Callable[[Tensor], object], maps_of: Callable[[Any], Tensor], use_reentrant: bool
) -> None:
    def run(wrap: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
        model, x = encoder(), clips(2, 3)
        loss = maps_of(FrameWise(Returning(Stages(model, wrap), make))(x)).square().mean()
        return {**gradients(loss, model), "x": x.grad}

    assert_equal_gradients(run(lambda part: Recomputed(part, use_reentrant)), run(lambda part: part))


@REENTRANT
def test_gradients_of_features_from_a_hook(use_reentrant: bool) -> None:
    def run(wrap: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
        model, x, seen = encoder(), clips(2, 3), []
        stages = Stages(model, wrap)
        stages.stages[-1].register_forward_hook(lambda module, args, output: seen.append(output))
        FrameWise(Returning(stages, lambda maps: None))(x)
        return {**gradients(seen[-1].square().mean(), model), "x": x.grad}

    assert_equal_gradients(run(lambda part: Recomputed(part, use_reentrant)), run(lambda part: part))


@pytest.mark.parametrize("outer", [False, True], ids=["outer saved tensors", "outer reentrant"])
@REENTRANT
def test_gradients_with_nested_checkpoints(use_reentrant: bool, outer: bool) -> None:
    def run(inner: Callable[[nn.Module], nn.Module], around: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
        model, images, x = encoder(), encoder(), clips(2, 3)
        loss = FrameWise(around(Stages(model, inner)))(x).square().mean()
        return gradients(loss + around(Stages(images, inner))(x.flatten(0, 1)).square().mean(), model, images)

    nested = run(lambda part: Recomputed(part, use_reentrant), lambda part: Recomputed(part, outer))
    assert_equal_gradients(nested, run(lambda part: part, lambda part: part))


@REENTRANT
def test_one_model_used_for_clips_and_images_in_one_backward_pass(use_reentrant: bool) -> None:
    def run(wrap: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
        model, x = encoder(), clips(2, 3)
        stages = Stages(model, wrap)
        loss = FrameWise(stages)(x).square().mean() + stages(x.flatten(0, 1)).pow(4).mean()
        return gradients(loss, model)

    assert_equal_gradients(run(lambda part: Recomputed(part, use_reentrant)), run(lambda part: part))


@pytest.mark.skipif(SHOWS_HOOKS, reason="newer torch")
def test_older_torch_refuses_framewise_inside_saved_tensor_hooks() -> None:
    with graph.save_on_cpu(), pytest.raises(RuntimeError, match="cannot run clips inside other saved-tensor hooks"):
        FrameWise(encoder())(clips(2, 3))
    FrameWise(Stages(encoder(), lambda part: part))(clips(2, 3))


@pytest.mark.skipif(not SHOWS_HOOKS, reason="older torch")
def test_framewise_inside_a_checkpoint() -> None:
    def run(wrap: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
        model, x = encoder(), clips(2, 3)
        net = FrameWise(Stages(model, wrap))
        loss = (net(x) if wrap is plain else checkpoint(net, x, use_reentrant=False)).square().mean()
        return {**gradients(loss, model), "x": x.grad}

    def plain(part: nn.Module) -> nn.Module:
        return part

    assert_equal_gradients(run(lambda part: Recomputed(part, False)), run(plain))


@pytest.mark.skipif(not SHOWS_HOOKS, reason="older torch")
def test_outer_saved_tensor_hooks_take_effect() -> None:
    def run(around: AbstractContextManager[object]) -> dict[str, Tensor]:
        model, x = encoder(), clips(2, 3)
        with around:
            loss = FrameWise(Stages(model, lambda part: Recomputed(part, False)))(x).square().mean()
        return {**gradients(loss, model), "x": x.grad}

    packed: list[Tensor] = []

    def pack(x: Tensor) -> int:
        packed.append(x.clone())
        return len(packed) - 1

    assert_equal_gradients(run(graph.saved_tensors_hooks(pack, packed.__getitem__)), run(nullcontext()))
    assert len(packed) > 3


def test_in_place_change_of_a_saved_tensor_is_detected() -> None:
    model, x = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Sigmoid()), clips(2, 3)
    out = FrameWise(model)(x)
    with torch.no_grad():
        out.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an in-place operation: it is at version 1, expected 0"):
        out.sum().backward()


@REENTRANT
def test_model_is_freed_after_its_backward_pass(use_reentrant: bool) -> None:
    net = FrameWise(Stages(encoder(), lambda part: Recomputed(part, use_reentrant)))
    net(clips(2, 3), mask=end_padding([3, 1], 3)).square().mean().backward()
    alive = weakref.ref(net.model)
    del net
    gc.collect()
    assert alive() is None


@REENTRANT
def test_clips_of_different_lengths_and_images_in_one_backward_pass(use_reentrant: bool) -> None:
    def run(wrap: Callable[[nn.Module], nn.Module]) -> dict[str, Tensor]:
        model, images, x = encoder(), encoder(), clips(2, 3)
        net, of_images = FrameWise(Stages(model, wrap)), Stages(images, wrap)
        loss = sum(net(part).square().mean() for part in (x, x[:, :2], x.flatten(0, 1)[None]))
        return gradients(loss + of_images(x.flatten(0, 1)).square().mean(), model, images)

    assert_equal_gradients(run(lambda part: Recomputed(part, use_reentrant)), run(lambda part: part))


@REENTRANT
def test_clip_axis_is_forgotten_after_the_backward_pass(use_reentrant: bool) -> None:
    model = encoder()
    stages = Stages(model, lambda part: Recomputed(part, use_reentrant))
    FrameWise(stages)(clips(2, 3)).square().mean().backward()
    model.zero_grad()
    # Now the same model on six images, which a stale axis of 2 x 3 frames would also fit.
    got = gradients(stages(clips(2, 3).flatten(0, 1)).square().mean(), model)
    plain = encoder()
    expected = gradients(Stages(plain, lambda part: part)(clips(2, 3).flatten(0, 1)).square().mean(), plain)
    assert_equal_gradients(got, expected)


PLACES = ("backbone", "backbone.layer3", "backbone.attention.layer2", "frame_vectors", "temporal.enhancer")


@pytest.mark.proves("AGDTNet", "activation checkpointing")
@MASKS
@REENTRANT
@pytest.mark.parametrize("place", PLACES)
def test_gradients_with_checkpoints_inside_agdtnet(place: str, use_reentrant: bool, mask: Tensor | None) -> None:
    torch.manual_seed(0)
    plain: AGDTNet = build_agdtnet(3, num_frames=3).eval()
    again = copy.deepcopy(plain)
    parent, _, child = place.rpartition(".")
    part = again.get_submodule(place)
    if mask is not None and place == "temporal.enhancer":
        pytest.skip("the wrapper accepts one argument, but this part also gets the mask")
    setattr(again.get_submodule(parent), child, Recomputed(part, use_reentrant))
    results = []
    for net in (plain, again):
        x = clips(2, 3, (48, 32))
        net(x, mask=mask).square().mean().backward()
        results.append({"x": x.grad, **{n.replace(".inside", ""): p.grad for n, p in net.named_parameters()}})
    assert_equal_gradients(results[1], results[0])
