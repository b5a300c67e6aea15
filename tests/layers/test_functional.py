"""The pure functions, called alone: exact shortcuts equal the literal computation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv1d

import reference
from agdt_layers import functional
from agdt_layers.feature_maps import pool_windows
from helpers.agreement import assert_agrees
from helpers.strategies import SIZES, end_padding, random_tensor


def test_correlation_means_equal_the_row_means_of_both_matrices() -> None:
    l1, l2 = random_tensor((3, 5), 0), random_tensor((3, 5), 1)
    matrices = torch.einsum("ni,nj->nij", l1, l2)
    a, b = functional.correlation_means(l1, l2).unbind(1)
    torch.testing.assert_close(a, matrices.mean(dim=2))
    torch.testing.assert_close(b, matrices.mT.mean(dim=2))


@given(st.sampled_from((1, 2)), st.sampled_from((0, 1, 3)), st.sampled_from((1, 2, 7)), st.sampled_from((1, 3, 5)))
def test_channel_convolution_agrees_with_a_conv1d_per_frame(inputs: int, frames: int, channels: int, k: int) -> None:
    leaves = {
        "x": random_tensor((frames, inputs, channels), 0).requires_grad_(),
        "weight": random_tensor((1, inputs, k), 1).requires_grad_(),
        "bias": random_tensor((1,), 2).requires_grad_(),
    }
    expected = conv1d(leaves["x"], leaves["weight"], leaves["bias"], padding=k // 2)[:, 0]
    assert_agrees(functional.convolve_channels(*leaves.values()), expected, leaves)


@given(st.permutations(SIZES), st.sampled_from((1, 3, 7, 9)), st.sampled_from(("depthwise", "grouped", "dense")))
def test_windowed_means_equal_the_pooled_convolution(sizes: list[int], kernel_size: int, kind: str) -> None:
    batch, height, width = sizes[:3]
    inputs = {"depthwise": 1, "grouped": 2, "dense": 4}[kind]
    state = {
        "horizontal.weight": random_tensor((4, inputs, 1, kernel_size), 1).requires_grad_(),
        "vertical.weight": random_tensor((4, inputs, kernel_size, 1), 2).requires_grad_(),
        "bias": random_tensor((4,), 3).requires_grad_(),
    }
    x = random_tensor((batch, 4, height, width), 0).requires_grad_()
    windows, peak = pool_windows(x, kernel_size)
    horizontal, vertical = windows.chunk(2, dim=1)
    pooled = functional.convolve_windows(horizontal, state["horizontal.weight"])
    pooled = pooled + functional.convolve_windows(vertical, state["vertical.weight"])
    weights = torch.sigmoid(pooled + state["bias"])
    assert_agrees(weights, reference.context_weights(x, state), {"x": x, **state})
    assert torch.equal(peak, x.flatten(2).max(dim=2).values)
    torch.testing.assert_close(windows[:, kernel_size // 2], x.mean(dim=(2, 3)))


@given(st.integers(1, 12), st.sampled_from((1, 3, 7, 9)))
def test_reach_marks_the_positions_that_a_tap_touches(size: int, kernel_size: int) -> None:
    expected = torch.zeros(kernel_size, size, dtype=torch.float64)
    for tap in range(kernel_size):
        for output in range(size):
            position = output + tap - kernel_size // 2
            if 0 <= position < size:
                expected[tap, position] = 0.5
    taps = functional.reach(2, size, kernel_size, 0.5, expected)
    assert torch.equal(taps[:kernel_size], expected[:, None].expand(-1, 2, -1))
    taps = functional.reach(size, 3, kernel_size, 0.5, expected)
    assert torch.equal(taps[kernel_size:], expected[:, :, None].expand(-1, -1, 3))


@given(st.permutations(SIZES))
def test_frame_vectors_equal_the_pooled_convolution(sizes: list[int]) -> None:
    batch, channels, height, width = sizes[:4]
    state = {
        "weight": random_tensor((channels, 1, 3, 3), 1).requires_grad_(),
        "bias": random_tensor((channels,), 2).requires_grad_(),
    }
    x = random_tensor((batch, channels, height, width), 0).requires_grad_()
    vectors = functional.frame_vectors(x, state["weight"], state["bias"])
    assert_agrees(vectors, reference.frame_vectors(x, state), {"x": x, **state})


@pytest.mark.parametrize("lengths", [None, [3, 1]])
def test_clip_context_multiplies_by_the_mean_of_unmasked_frames(lengths: list[int] | None) -> None:
    context = random_tensor((2, 3, 5), 0)
    mask = None if lengths is None else end_padding(lengths, 3)
    means = [frames[: lengths[i] if lengths else 3].mean(dim=0) for i, frames in enumerate(context)]
    expected = context * torch.stack(means)[:, None]
    torch.testing.assert_close(functional.clip_context(context.flatten(0, 1), 3, mask), expected.flatten(0, 1))


ONE, NOTHING = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
SQUARES = torch.tensor([0.0, 1.0, 4.0, 9.0, 16.0], dtype=torch.float64).reshape(1, 5, 1)


@pytest.mark.parametrize(
    ("step", "boundary", "forward", "backward"),
    [
        (1, "zero", [1, 3, 5, 7, 0], [0, 1, 3, 5, 7]),
        (1, "wrap", [1, 3, 5, 7, -16], [-16, 1, 3, 5, 7]),
        (1, "roll", [1, 3, 5, 7, -16], [-16, 1, 3, 5, 7]),
        (2, "zero", [4, 8, 12, 0, 0], [0, 0, 4, 8, 12]),
        (2, "wrap", [4, 8, 12, -9, -15], [-9, -15, 4, 8, 12]),
        (5, "zero", [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    ],
)
def test_temporal_differences_by_hand(step: int, boundary: str, forward: list[int], backward: list[int]) -> None:
    assert functional.temporal_difference(SQUARES, ONE, NOTHING, step, boundary).flatten().tolist() == forward
    assert functional.temporal_difference(SQUARES, NOTHING, ONE, step, boundary).flatten().tolist() == backward


@pytest.mark.parametrize(
    ("boundary", "forward"), [("zero", [1, 0, 0, 0, 0]), ("wrap", [1, 0, 0, -9, 0]), ("roll", [1, 0, 0, -9, 0])]
)
def test_temporal_differences_next_to_masked_frames(boundary: str, forward: list[int]) -> None:
    mask = torch.tensor([[True, True, False, True, False]])
    difference = functional.temporal_difference(SQUARES, ONE, NOTHING, 1, boundary, mask)
    assert difference.flatten().tolist() == forward


@pytest.mark.parametrize("window", [1, 2, 4])
def test_windowed_context_is_finite_if_a_clip_starts_with_padding(window: int) -> None:
    context = random_tensor((8, 3), 1).requires_grad_()
    mask = torch.tensor([[False, False, True, True], [False, True, False, True]])
    result = functional.clip_context(context, 4, mask, window)
    (gradient,) = torch.autograd.grad(result.sum(), context)
    assert result.isfinite().all()
    assert gradient.isfinite().all()
    # Before the first real frame the mean is over no frames, and is defined as 0.
    assert (result.view(2, 4, 3)[0, :2] == 0).all()
    assert (result.view(2, 4, 3)[1, 0] == 0).all()


def test_windowed_context_with_past_frames_equals_the_whole_clip() -> None:
    context, window = random_tensor((2, 9, 3), 0), 4
    whole = functional.clip_context(context.flatten(0, 1), 9, window=window).unflatten(0, (2, 9))
    past, new = context[:, 3:6], context[:, 6:]
    out = functional.clip_context(new.flatten(0, 1), 3, window=window, past=past).unflatten(0, (2, 3))
    torch.testing.assert_close(out, whole[:, 6:])
