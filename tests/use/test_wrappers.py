"""Wrapping, copying or converting a network or a part of it does not change its output."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from agdt_layers import AGDTNet, FrameWise, build_agdtnet, insert_attention
from helpers.hosts import host
from helpers.strategies import end_padding, random_tensor
from helpers.subjects import Subject, proves

CLIPS = random_tensor((2, 4, 3, 48, 32), 0, torch.float32)
MASK = end_padding([4, 2], 4)


class OneArgument(nn.Module):
    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x)


class AnyArguments(OneArgument):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inside(*args, **kwargs)


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "torch.compile": lambda module: torch.compile(module, backend="eager"),
    "DataParallel": nn.DataParallel,
    "fx of a part": fx.symbolic_trace,
    "a wrapper of one argument": OneArgument,
    "a wrapper of all arguments": AnyArguments,
}


def network() -> AGDTNet:
    torch.manual_seed(0)
    return build_agdtnet(5, num_frames=4).eval()


def foreign() -> AGDTNet:
    """Return a network with a custom backbone and inserted attention."""
    backbone = nn.Sequential(host().sequential, host().own)
    insert_attention(backbone, ["0", "1"], example_input=CLIPS[0])
    return build_agdtnet(5, num_frames=4, backbone=backbone, temporal="mean").eval()


def replaced(net: AGDTNet, name: str, wrap: Callable[[nn.Module], nn.Module]) -> AGDTNet:
    net = copy.deepcopy(net)
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, wrap(net.get_submodule(name)))
    return net


PLACES = ["backbone", "backbone.layer2", "backbone.attention.layer2", "frame_vectors", "classifier"]


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize(
    "wrap",
    [pytest.param(wrap, id=way, marks=pytest.mark.proves("AGDTNet", way)) for way, wrap in WRAPPERS.items()],
)
@torch.no_grad()
def test_wrapping_a_part_does_not_change_the_scores(
    wrap: Callable[[nn.Module], nn.Module], name: str, mask: Tensor | None
) -> None:
    net = network()
    torch._dynamo.reset()
    if wrap is fx.symbolic_trace and name in ("backbone.attention.layer2", "frame_vectors"):
        with pytest.raises(TypeError, match=r"cannot be traced alone\. Trace the model that contains it\."):
            replaced(net, name, wrap)
        return
    wrapped = replaced(net, name, wrap)
    # Compiled code sums in another order, which depends on the version of torch.
    close = {"rtol": 1e-6, "atol": 3e-6}
    torch.testing.assert_close(wrapped(CLIPS, mask=mask), net(CLIPS, mask=mask), **close)
    # The wrapped part uses T of the call, not of the trace.
    torch.testing.assert_close(wrapped(CLIPS[:, :3]), net(CLIPS[:, :3]), **close)


@pytest.mark.parametrize("way", WRAPPERS)
@torch.no_grad()
def test_wrapping_a_custom_backbone_does_not_change_the_scores(way: str) -> None:
    net = foreign()
    torch._dynamo.reset()
    wrapped = replaced(net, "backbone", WRAPPERS[way])
    for mask in (None, MASK):
        torch.testing.assert_close(wrapped(CLIPS, mask=mask), net(CLIPS, mask=mask), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_attention_and_clip_length_affect_the_scores() -> None:
    net = network()
    without = replaced(net, "backbone.attention", lambda _: nn.ModuleDict())
    assert (without(CLIPS) - net(CLIPS)).norm() > 0.01 * net(CLIPS).norm()
    assert (net(CLIPS[:, :3]) - net(CLIPS)).norm() > 1e-3 * net(CLIPS).norm()


@torch.no_grad()
def test_hooks_on_all_parts_are_called() -> None:
    net, seen = network(), []
    names = ["backbone", "backbone.attention.layer2", "frame_vectors", "temporal", "temporal.enhancer", "classifier"]
    for name in names:
        net.get_submodule(name).register_forward_hook(lambda module, args, output, name=name: seen.append(name))
    net(CLIPS)
    assert sorted(seen) == sorted(names)


@proves("EMA")
def test_averaged_model_starts_equal_and_follows_the_parameters(subject: Subject) -> None:
    layer, x = subject.build().eval(), subject.inputs()[0]
    average = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    average.update_parameters(layer)
    torch.testing.assert_close(average.eval()(x), layer(x))
    before = [parameter.clone() for parameter in average.parameters()]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1)
    average.update_parameters(layer)
    for was, now, parameter in zip(before, average.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(now, (was + parameter) / 2)


@proves("deepcopy")
def test_deepcopy_is_equal_and_shares_no_parameters(subject: Subject) -> None:
    layer, x = subject.build().eval(), subject.inputs()[0]
    twin = copy.deepcopy(layer)
    expected = layer(x)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(layer(x), expected)
    assert not torch.equal(twin(x), expected)


@proves("pickle")
def test_pickled_copy_is_equal(subject: Subject) -> None:
    layer, x = subject.build().eval(), subject.inputs()[0]
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))


@proves("meta device")
def test_output_shapes_on_the_meta_device(subject: Subject) -> None:
    layer, x = subject.build().eval(), subject.inputs()[0]
    assert layer.to("meta")(x.to("meta")).shape == subject.build().eval()(x).shape


@proves("SyncBatchNorm", "AGDTNet", "FrameWise")
@torch.no_grad()
def test_sync_batch_norm_conversion_does_not_change_the_output(subject: Subject) -> None:
    layer, x = subject.build().eval(), subject.inputs()[0]
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(layer))
    assert any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())
    torch.testing.assert_close(converted(x), layer(x))


@pytest.mark.proves("FrameWise", "DataParallel")
def test_data_parallel_works_outside_framewise_and_raises_inside() -> None:
    encoder = FrameWise(foreign().backbone)
    assert torch.equal(nn.DataParallel(encoder)(CLIPS), encoder(CLIPS))
    with pytest.raises(ValueError, match=r"Wrap the other way round: nn.DataParallel\(FrameWise\(\.\.\.\)\)"):
        FrameWise(nn.DataParallel(encoder.model))
