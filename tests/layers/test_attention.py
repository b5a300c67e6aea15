"""AdaptiveGlobalAttention and its two parts agree with the literal equations and obey their laws."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from agdt_layers import AdaptiveChannelAttention, AdaptiveGlobalAttention, GlobalConvolutionalAttention
from helpers.agreement import (
    assert_agrees,
    assert_clips_are_independent,
    gradients,
    leaves_of,
    randomised,
)
from helpers.strategies import LAYOUTS, AttentionCase, attention_cases, end_padding, laid_out, random_tensor


def layer_of(case: AttentionCase) -> AdaptiveGlobalAttention:
    return randomised(AdaptiveGlobalAttention(case.channels, **case.options), case.seed)


@settings(max_examples=60)
@given(attention_cases())
def test_output_and_gradients_agree_with_the_equations(case: AttentionCase) -> None:
    layer, clips, mask = layer_of(case), case.clips(), case.mask_tensor()
    leaves = leaves_of(layer, clips)
    literal = reference.adaptive_global_attention(clips, leaves, gate=case.gate, mask=mask)
    assert_agrees(layer(clips, mask=mask), literal, leaves)


@given(attention_cases(masked=False))
def test_channel_attention_agrees_with_equations_1_to_7(case: AttentionCase) -> None:
    kernel_size = case.local_kernel_size
    layer = randomised(AdaptiveChannelAttention(case.channels, kernel_size=kernel_size, gate=case.gate), case.seed)
    frames = case.clips().flatten(0, 1)
    leaves = leaves_of(layer, frames)
    assert_agrees(layer(frames), reference.channel_attention(frames, leaves, gate=case.gate), leaves)


@given(attention_cases(masked=False))
def test_global_convolutional_attention_agrees_with_equations_8_to_13(case: AttentionCase) -> None:
    options = {name: case.options[name] for name in ("spatial_kernel_size", "context_kernel_size", "context_groups")}
    layer = randomised(GlobalConvolutionalAttention(case.channels, **options), case.seed)
    clips = case.clips()
    leaves = leaves_of(layer, clips)
    literal = [clip + reference.global_convolutional_attention(clip, clip, leaves) for clip in clips]
    assert_agrees(layer(clips), torch.stack(literal), leaves)


@pytest.mark.parametrize(
    ("channels", "kernel_size"), [(1, 1), (2, 1), (8, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)]
)
def test_local_kernel_follows_the_number_of_channels(channels: int, kernel_size: int) -> None:
    # t = floor((log2 C + 1) / 2), made odd by adding one: log2 2048 = 11 gives t = 6, hence 7.
    layer = AdaptiveChannelAttention(channels, device="meta")
    assert layer.local.weight.shape == (1, 1, kernel_size)


def test_gate_mixes_two_different_statistics() -> None:
    layer = randomised(AdaptiveGlobalAttention(5))
    frames = random_tensor((2, 3, 5, 7, 11), 0)
    with torch.no_grad():
        before = layer(frames)
        layer.channel.gate.bias += 1
        assert (layer(frames) - before).abs().amax(dim=(2, 3, 4)).gt(1e-6).all(), "the gate's bias has no effect"


@given(attention_cases())
def test_output_keeps_the_sign_and_at_most_doubles_the_magnitude(case: AttentionCase) -> None:
    clips = case.clips()
    enhanced = layer_of(case)(clips, mask=case.mask_tensor())
    assert torch.equal(enhanced.sign(), clips.sign())
    assert (enhanced.abs() >= clips.abs()).all()
    assert (enhanced.abs() <= 2 * clips.abs()).all()


def test_zero_input_gives_zero_output() -> None:
    layer = randomised(AdaptiveGlobalAttention(5))
    zeros = torch.zeros(2, 3, 5, 7, 11, dtype=torch.float64)
    assert torch.equal(layer(zeros), zeros)


@pytest.mark.parametrize("gate", [True, False])
def test_clips_do_not_affect_each_other(gate: bool) -> None:
    layer = randomised(AdaptiveGlobalAttention(2, gate=gate))
    assert_clips_are_independent(layer, random_tensor((3, 2, 2, 3, 5), 1))


def test_frames_of_a_clip_affect_each_other() -> None:
    layer = randomised(AdaptiveGlobalAttention(5))
    clips = random_tensor((1, 3, 5, 2, 7), 2)
    changed = clips.clone()
    changed[0, 2] += 1
    assert (layer(changed) - layer(clips))[0, 0].abs().max() > 1e-6


@given(attention_cases(), st.randoms(use_true_random=False))
def test_permuted_frames_give_a_permuted_output(case: AttentionCase, random) -> None:
    layer, clips, mask = layer_of(case), case.clips(), case.mask_tensor()
    order = random.sample(range(case.frames), case.frames)
    expected = layer(clips, mask=mask)[:, order]
    permuted = layer(clips[:, order], mask=None if mask is None else mask[:, order])
    torch.testing.assert_close(permuted, expected, rtol=1e-12, atol=1e-12)


@given(attention_cases(masked=False))
def test_clips_folded_frames_and_images_agree(case: AttentionCase) -> None:
    layer, clips = layer_of(case), case.clips()
    expected = layer(clips)
    folded = clips.flatten(0, 1)
    assert torch.equal(layer(folded, num_frames=case.frames).unflatten(0, (case.batch, -1)), expected)
    constructed = AdaptiveGlobalAttention(case.channels, num_frames=case.frames, **case.options).double()
    constructed.load_state_dict(layer.state_dict())
    assert torch.equal(constructed(folded).unflatten(0, (case.batch, -1)), expected)
    torch.testing.assert_close(layer(folded), layer(folded[:, None])[:, 0], rtol=1e-12, atol=1e-12)


def test_num_frames_of_the_call_overrides_the_constructor() -> None:
    layer = randomised(AdaptiveGlobalAttention(5, num_frames=2))
    folded = random_tensor((6, 5, 7, 3), 3)
    expected = layer(folded.unflatten(0, (2, 3))).flatten(0, 1)
    assert torch.equal(layer(folded, num_frames=3), expected)
    assert not torch.allclose(layer(folded), expected)


@given(attention_cases(masked=True))
def test_padded_frames_pass_unchanged_and_do_not_affect_other_frames(case: AttentionCase) -> None:
    layer, clips, mask = layer_of(case), case.clips(torch.float32), case.mask_tensor()
    layer = layer.float()
    expected = layer(clips, mask=mask)
    assert torch.equal(expected[~mask], clips[~mask])
    for poison in (float("nan"), float("inf"), -1e30):
        poisoned = clips.clone()
        poisoned[~mask] = poison
        poisoned.requires_grad_()
        enhanced = layer(poisoned, mask=mask)
        assert torch.equal(enhanced[mask], expected[mask])
        assert torch.equal(enhanced[~mask].isnan(), poisoned[~mask].isnan())
        assert torch.equal(enhanced[~mask].nan_to_num(), poisoned[~mask].nan_to_num())
        seen = {"x": poisoned, **dict(layer.named_parameters())}
        for gradient in torch.autograd.grad(enhanced[mask].sum(), list(seen.values())):
            assert gradient.isfinite().all()
        (gradient,) = torch.autograd.grad(layer(poisoned, mask=mask)[mask].sum(), poisoned)
        assert (gradient[~mask] == 0).all()


def test_padding_does_not_change_the_output_of_real_frames() -> None:
    layer = randomised(AdaptiveGlobalAttention(5))
    clips = random_tensor((3, 7, 5, 2, 3), 4)
    lengths = [7, 4, 1]
    enhanced = layer(clips, mask=end_padding(lengths, 7))
    for clip, result, length in zip(clips, enhanced, lengths, strict=True):
        torch.testing.assert_close(result[:length], layer(clip[None, :length])[0], rtol=1e-12, atol=1e-12)


def test_mask_without_padding_changes_nothing() -> None:
    layer = randomised(AdaptiveGlobalAttention(5))
    clips = random_tensor((2, 3, 5, 7, 11), 4)
    torch.testing.assert_close(layer(clips, mask=torch.ones(2, 3, dtype=torch.bool)), layer(clips))


def test_mask_applies_to_folded_frames() -> None:
    layer = randomised(AdaptiveGlobalAttention(5, num_frames=3))
    clips, mask = random_tensor((2, 3, 5, 7, 2), 5), end_padding([3, 1], 3)
    assert torch.equal(layer(clips.flatten(0, 1), mask=mask), layer(clips, mask=mask).flatten(0, 1))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_memory_format_and_dtype_are_preserved(layout: str, dtype: torch.dtype, masked: bool) -> None:
    layer = AdaptiveGlobalAttention(5, num_frames=3, dtype=dtype)
    mask = end_padding([3, 2], 3) if masked else None
    clips = laid_out(random_tensor((2, 3, 5, 7, 11), 6, dtype), layout)
    images = laid_out(random_tensor((6, 5, 7, 11), 6, dtype), layout)
    for x in (clips, images):
        enhanced = layer(x, mask=mask)
        assert enhanced.dtype == dtype
        assert enhanced.shape == x.shape
        if layout != "strided":
            assert enhanced.stride() == x.stride()


def test_channels_last_model_preserves_the_format() -> None:
    layer = AdaptiveGlobalAttention(5).to(memory_format=torch.channels_last)
    images = random_tensor((2, 5, 7, 11), 7, torch.float32).to(memory_format=torch.channels_last)
    assert layer(images).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(groups: int, masked: bool) -> None:
    layer = randomised(AdaptiveGlobalAttention(4, spatial_kernel_size=3, context_groups=groups))
    clips = random_tensor((1, 3, 4, 2, 3), 8).requires_grad_()
    mask = torch.tensor([[True, False, True]]) if masked else None

    def function(x: torch.Tensor) -> torch.Tensor:
        return layer(x, mask=mask)

    assert torch.autograd.gradcheck(function, clips)
    assert torch.autograd.gradgradcheck(function, clips, fast_mode=True)


def test_repr_shows_the_settings() -> None:
    text = repr(AdaptiveGlobalAttention(64, num_frames=16, gate=False, context_groups=1))
    for fragment in ("AdaptiveGlobalAttention(", "64, num_frames=16", "64, gate=False", "(1, 1, 3)", "(64, 64, 1, 7)"):
        assert fragment in text


def test_forward_changes_no_state() -> None:
    layer = AdaptiveGlobalAttention(5)
    before = copy.deepcopy(layer.__dict__)
    layer(random_tensor((2, 3, 5, 7, 11), 12, torch.float32))
    assert layer.__dict__.keys() == before.keys()
    assert layer.num_frames == before["num_frames"]
    clips = random_tensor((2, 3, 5, 7, 11), 12, torch.float32)
    assert torch.equal(layer.train()(clips), layer.eval()(clips))


def test_backward_is_deterministic() -> None:
    layer = AdaptiveGlobalAttention(5)
    clips = random_tensor((2, 3, 5, 7, 11), 13, torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        first = gradients(layer(clips), dict(layer.named_parameters()))
        second = gradients(layer(clips), dict(layer.named_parameters()))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first[name], second[name]) for name in first)
