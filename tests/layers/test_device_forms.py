"""The forms that a GPU takes, run on a CPU: held to the equations, and counted. The CPU's own are the default."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, jvp, vmap

from agdt_layers import (
    AdaptiveGlobalAttention,
    AGDTNet,
    DifferentialTemporalEnhancer,
    DTFormer,
    ResNet18,
    build_agdtnet,
    device_forms,
    functional,
)
from helpers import reference
from helpers.agreement import assert_agrees, leaves_of, randomised
from helpers.launches import launches
from helpers.strategies import (
    SIZES,
    AttentionCase,
    SequenceCase,
    attention_cases,
    end_padding,
    random_tensor,
    sequence_cases,
)


@pytest.fixture(autouse=True, scope="module")
def _few_launches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_forms, "prefers_few_launches", lambda x: True)
        yield


@given(case=attention_cases())
def test_attention_agrees_with_the_equations(case: AttentionCase) -> None:
    layer, clips = randomised(AdaptiveGlobalAttention(case.channels, **case.options), case.seed), case.clips()
    leaves, mask = leaves_of(layer, clips), case.mask_tensor()
    state = layer.state_dict(keep_vars=True)
    literal = reference.adaptive_global_attention(clips, state, gate=case.gate, mask=mask)
    assert_agrees(layer(clips, mask=mask), literal, leaves)


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3), padded=st.booleans(), seed=st.integers(0, 9))
def test_the_encoder_agrees_with_the_equations(lengths: list[int], padded: bool, seed: int) -> None:
    layer = randomised(DTFormer(6, depth=2, heads=3, mlp_channels=7, max_frames=5), seed, scale=0.3).eval()
    x = random_tensor((len(lengths), 5, 6), seed).requires_grad_()
    mask = end_padding(lengths, 5) if padded else None
    leaves = leaves_of(layer, x)
    literal = reference.dtformer(x, layer.state_dict(keep_vars=True), heads=3, mask=mask)
    assert_agrees(layer(x, mask=mask), literal, leaves)


@given(case=sequence_cases())
def test_enhancement_agrees_with_the_equations(case: SequenceCase) -> None:
    layer, x = randomised(DifferentialTemporalEnhancer(case.channels, **case.options), case.seed), case.sequences()
    leaves, mask = leaves_of(layer, x), case.mask_tensor()
    state = layer.state_dict(keep_vars=True)
    literal = reference.differential_enhancement(x, state, step=case.step, boundary=case.boundary, mask=mask)
    assert_agrees(layer(x, mask=mask), literal, leaves)


@pytest.mark.parametrize("sizes", [SIZES[1:5], SIZES[2:6]])
def test_frame_vectors_agree_with_the_convolution_pooled_afterwards(sizes: tuple[int, ...]) -> None:
    x = random_tensor(sizes, 0).requires_grad_()
    state = {
        "weight": random_tensor((sizes[1], 1, 3, 3), 1).requires_grad_(),
        "bias": random_tensor(sizes[1:2], 2).requires_grad_(),
    }
    out = functional.frame_vectors(x, state["weight"], state["bias"])
    assert_agrees(out, reference.frame_vectors(x, state), {"x": x, **state})


def test_second_derivatives_and_transforms() -> None:
    layer = randomised(AdaptiveGlobalAttention(3))
    x, direction = random_tensor((1, 2, 3, 2, 4), 0), random_tensor((1, 2, 3, 2, 4), 1)
    assert torch.autograd.gradgradcheck(layer, x.clone().requires_grad_())

    def energy(part: Tensor) -> Tensor:
        return layer(part).square().sum()

    gradient = torch.autograd.functional.jacobian(energy, x)
    torch.testing.assert_close(vmap(grad(energy))(x[None])[0], gradient)
    torch.testing.assert_close(jvp(energy, (x,), (direction,))[1], (gradient * direction).sum())


def clips_of_16(channels: int = 64) -> Tensor:
    return random_tensor((16, channels, 14, 14), 0, torch.float32)


def test_attention_takes_at_most_27_launches() -> None:
    layer, x = AdaptiveGlobalAttention(64, num_frames=16), clips_of_16()
    with torch.no_grad():
        names = launches(lambda: layer(x))
    assert len(names) <= 27, names


def test_attention_and_its_gradients_take_at_most_84_launches() -> None:
    layer, x = AdaptiveGlobalAttention(64, num_frames=16), clips_of_16().requires_grad_()
    gradient = random_tensor((16, 64, 14, 14), 1, torch.float32)
    names = launches(lambda: layer(x).backward(gradient))
    assert len(names) <= 84, names


@pytest.fixture(scope="module")
def net() -> AGDTNet:
    return build_agdtnet().eval()


def test_the_network_takes_at_most_163_launches(net: AGDTNet) -> None:
    clips = random_tensor((1, 16, 3, 32, 32), 0, torch.float32)
    with torch.no_grad():
        names = launches(lambda: net(clips))
        alone = launches(lambda: ResNet18().eval()(clips[0]))
    assert len(names) <= 163, names
    # fold_batch_norms takes these 20 away.
    assert alone.count("native_batch_norm") + alone.count("_native_batch_norm_legit_no_training") == 20


READS = {"_local_scalar_dense", "is_nonzero", "nonzero", "item", "equal", "_assert_async"}


@pytest.mark.parametrize("masked", [False, True])
def test_no_value_is_read_on_the_way(net: AGDTNet, masked: bool) -> None:
    clips = random_tensor((2, 16, 3, 32, 32), 0, torch.float32)
    mask = end_padding([16, 9], 16) if masked else None
    with torch.no_grad():
        names = launches(lambda: net(clips, mask=mask))
    # Of a mask, once and at the outermost call, whether every clip has a frame.
    assert sum(name in READS for name in names) == masked, names
