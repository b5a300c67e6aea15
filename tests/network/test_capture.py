"""capture_attention returns the weights that the forward pass used, by layer name, and leaves nothing behind."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import reference
from agdt_layers import (
    AdaptiveChannelAttention,
    AdaptiveGlobalAttention,
    DifferentialTemporalEnhancer,
    DTFormer,
    build_agdtnet,
    capture_attention,
    functional,
)
from helpers.agreement import randomised
from helpers.strategies import end_padding, random_tensor


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("gate", [False, True])
def test_captured_weights_explain_the_output(gate: bool, masked: bool) -> None:
    layer = torch.nn.Sequential()
    layer.add_module("block", randomised(AdaptiveGlobalAttention(5, gate=gate)))
    clips = random_tensor((2, 3, 5, 7, 11), 0)
    mask = end_padding([3, 2], 3) if masked else None
    with capture_attention(layer) as maps:
        enhanced = layer.block(clips, mask=mask)
    weights = maps["block"]
    assert weights.channel.shape == weights.context.shape == (2, 3, 5)
    assert weights.spatial.shape == (2, 3, 7, 11)
    assert weights.gate.shape == (2, 3, 5) if gate else weights.gate is None
    factor: Tensor = weights.channel[..., None, None] * weights.spatial[:, :, None]
    expected = clips * (1 + factor * weights.context[..., None, None])
    real = slice(None) if mask is None else mask
    torch.testing.assert_close(enhanced[real], expected[real], rtol=1e-12, atol=1e-12)
    assert not any(weight.requires_grad for weight in weights if weight is not None)


def test_every_attention_layer_of_a_network_is_captured() -> None:
    net = build_agdtnet(3, num_frames=2).eval()
    clips = random_tensor((1, 2, 3, 64, 64), 1, torch.float32)
    with torch.no_grad(), capture_attention(net) as maps:
        logits = net(clips)
    assert {"backbone.attention.layer2", "backbone.attention.layer3"} < set(maps)
    assert maps["backbone.attention.layer2"].spatial.shape == (1, 2, 8, 8)
    assert maps["backbone.attention.layer3"].channel.shape == (1, 2, 256)
    with torch.no_grad():
        assert torch.equal(net(clips), logits), "capture changed the output"


def test_temporal_weights_are_captured() -> None:
    former = randomised(DTFormer(6, depth=2, heads=3, mlp_channels=7, max_frames=5)).eval()
    x, mask = random_tensor((2, 4, 6), 2), end_padding([4, 2], 4)
    with capture_attention(former) as maps:
        former(x, mask=mask)
    state = dict(former.enhancer.named_parameters())
    change = functional.temporal_difference(x, state["alpha_forward"], state["alpha_backward"], mask=mask)
    enhanced = reference.differential_enhancement(x, state, mask=mask)
    torch.testing.assert_close(x + maps["enhancer"] * change, enhanced, rtol=1e-10, atol=1e-10)
    for name, queries in (("layers.0", 5), ("layers.1", 1)):
        assert maps[name].shape == (2, 3, queries, 5)
        torch.testing.assert_close(maps[name].sum(dim=-1), torch.ones(2, 3, queries, dtype=torch.float64))
        assert (maps[name][1, :, :, 3:] == 0).all(), "a query attends to padding"
        assert (maps[name][0] > 0).all()


class Host(torch.nn.Module):
    """Calls its layer with further positional arguments, or with x by keyword."""

    def __init__(self, layer: torch.nn.Module, *rest: object, **keywords: object) -> None:
        super().__init__()
        self.layer, self.rest, self.keywords = layer, rest, keywords

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(**{next(iter(self.keywords)): x}) if self.keywords else self.layer(x, *self.rest)


def test_layers_called_with_keywords_or_positional_masks_are_captured() -> None:
    maps, mask = random_tensor((6, 5, 7, 11), 0), end_padding([3, 2], 3)
    vectors = random_tensor((2, 3, 5), 1)
    enhancer = DifferentialTemporalEnhancer(5, dtype=torch.float64)
    attention = AdaptiveGlobalAttention(5, num_frames=3, dtype=torch.float64)
    expected = attention.attention_weights(maps, mask=mask)
    for host, x, wanted in (
        (Host(attention, 3, mask), maps, expected.context),
        (Host(attention, x=None), maps, attention.attention_weights(maps).context),
        (Host(enhancer, mask), vectors, enhancer.gate(vectors, mask=mask)),
        (Host(enhancer, x=None), vectors, enhancer.gate(vectors)),
    ):
        with capture_attention(host) as found:
            host(x)
        got = found["layer"] if host.layer is enhancer else found["layer"].context.flatten(0, 1)
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("in_place", [False, True])
@torch.no_grad()
def test_compiled_network_is_captured(in_place: bool) -> None:
    net, clips = build_agdtnet(3, num_frames=2).eval(), random_tensor((1, 2, 3, 32, 48), 1, torch.float32)
    with capture_attention(net) as expected:
        net(clips)
    if in_place:
        net.compile(backend="eager")
    compiled = net if in_place else torch.compile(net, backend="eager")
    compiled(clips)
    with capture_attention(net) as maps:
        compiled(clips)
    assert maps.keys() == expected.keys()
    assert torch.equal(maps["temporal.layers.0"], expected["temporal.layers.0"])


def test_copy_made_during_capture_does_not_write_into_the_maps() -> None:
    layer, clips = AdaptiveGlobalAttention(5), random_tensor((2, 3, 5, 7, 11), 2, torch.float32)
    with capture_attention(layer) as maps:
        copies = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
        layer(clips)
    captured = dict(maps)
    for each in copies:
        torch.testing.assert_close(each(clips + 1), layer(clips + 1))
    assert all(maps[name] is captured[name] for name in captured)


def test_hooks_are_removed_after_capture() -> None:
    layer = AdaptiveGlobalAttention(5)
    clips = random_tensor((2, 3, 5, 7, 11), 2, torch.float32)
    before = set(layer.__dict__)
    with capture_attention(layer) as maps:
        layer(clips)
        with pytest.raises(ValueError, match="AdaptiveGlobalAttention"):
            layer(clips[0, 0])
    captured = dict(maps)
    layer(clips + 1)
    assert all(maps[name] is captured[name] for name in captured)
    assert set(layer.__dict__) == before
    assert not any(module._forward_hooks for module in layer.modules())


def autograd_nodes(tensor: Tensor) -> list[str]:
    """Return the names of the autograd nodes behind a tensor, in depth-first order."""
    names, waiting, seen = [], [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.append(node.name())
            waiting.extend(following for following, _ in node.next_functions)
    return names


def test_autograd_graph_is_the_same_with_and_without_capture() -> None:
    net = build_agdtnet(3, num_frames=2).eval()
    clips = random_tensor((1, 2, 3, 32, 48), 1, torch.float32)
    before = autograd_nodes(net(clips))
    with capture_attention(net):
        during = autograd_nodes(net(clips))
    assert during == before == autograd_nodes(net(clips))


def test_capture_adds_no_operations_after_it_ends() -> None:
    net = build_agdtnet(3, num_frames=2).eval()
    clips = random_tensor((1, 2, 3, 32, 48), 1, torch.float32)

    def operations() -> list[str]:
        with torch.profiler.profile() as profiled, torch.no_grad():
            net(clips)
        return [event.name for event in profiled.events()]

    fresh = operations()
    with capture_attention(net):
        assert len(operations()) > len(fresh)
    assert operations() == fresh


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = AdaptiveGlobalAttention(5, num_frames=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.attention(x) + 1)


def test_every_call_of_a_layer_in_one_model_call_is_captured() -> None:
    model, x = Twice(), random_tensor((4, 5, 3, 7), 0, torch.float32)
    with capture_attention(model) as maps:
        model(x + 1)
        model(x)
        assert list(maps) == ["attention", "attention#2"]
        first = model.attention.attention_weights(x)
        second = model.attention.attention_weights(model.attention(x) + 1)
    torch.testing.assert_close(maps["attention"].context.flatten(0, 1), first.context)
    torch.testing.assert_close(maps["attention#2"].context.flatten(0, 1), second.context)


class CallsItself(Twice):
    """Runs at two scales, the second through its own __call__."""

    def forward(self, x: Tensor) -> Tensor:
        half = x[..., ::2] if x.shape[-1] < 8 else self(x[..., ::2])
        return self.attention(x) + half.mean()


def test_every_call_is_captured_if_the_model_calls_itself() -> None:
    model = CallsItself()
    with capture_attention(model) as maps:
        for _ in range(2):
            model(torch.rand(2, 5, 3, 14))
    assert {name: weights.spatial.shape[-1] for name, weights in maps.items()} == {"attention": 7, "attention#2": 14}


class Checkpointed(Twice):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=True)


def test_recomputation_in_the_backward_pass_is_not_captured() -> None:
    model = Checkpointed()
    with capture_attention(model) as maps:
        loss = model(random_tensor((4, 5, 3, 7), 0, torch.float32).requires_grad_()).sum()
        captured = dict(maps)
        loss.backward()
    assert list(maps) == ["attention", "attention#2"]
    assert all(maps[name] is captured[name] for name in maps)


def test_part_called_on_its_own_keeps_one_entry() -> None:
    model, x = Twice(), random_tensor((4, 5, 3, 7), 0, torch.float32)
    with capture_attention(model) as maps:
        for _ in range(3):
            model.attention(x)
    assert list(maps) == ["attention"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "model",
    [
        lambda: nn.Linear(2, 3),
        lambda: AdaptiveChannelAttention(5),
        lambda: torch.jit.trace(AdaptiveGlobalAttention(5), torch.zeros(1, 5, 3, 3)),
    ],
    ids=["no attention", "channel attention only", "traced"],
)
def test_model_without_layers_to_capture_raises(model: Callable[[], nn.Module]) -> None:
    with (
        pytest.raises(ValueError, match="capture_attention found no AGA, GCA, DTE or DTFormer in"),
        capture_attention(model()),
    ):
        pass
