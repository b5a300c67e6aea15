"""DifferentialTemporalEnhancer and DTFormer agree with the literal equations and obey their laws."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from agdt_layers import DifferentialTemporalEnhancer, DTFormer, TemporalMean
from helpers.agreement import assert_agrees, assert_clips_are_independent, leaves_of, randomised
from helpers.strategies import SequenceCase, end_padding, masks, random_tensor, sequence_cases


def enhancer_of(case: SequenceCase) -> DifferentialTemporalEnhancer:
    return randomised(DifferentialTemporalEnhancer(case.channels, **case.options), case.seed)


@settings(max_examples=60)
@given(sequence_cases())
def test_enhancer_output_and_gradients_agree_with_the_equations(case: SequenceCase) -> None:
    layer, x, mask = enhancer_of(case), case.sequences(), case.mask_tensor()
    leaves = leaves_of(layer, x)
    literal = reference.differential_enhancement(x, leaves, step=case.step, boundary=case.boundary, mask=mask)
    assert_agrees(layer(x, mask=mask), literal, leaves)


def test_enhancer_starts_as_the_central_difference() -> None:
    layer = DifferentialTemporalEnhancer(3)
    assert layer.alpha_forward.item() == layer.alpha_backward.item() == 0.5


def test_forward_difference_uses_the_later_frame() -> None:
    """df[t] = x[t + 1] - x[t]: with alpha_b = 0 and an open gate the layer outputs the next frame."""
    layer = DifferentialTemporalEnhancer(1).double()
    with torch.no_grad():
        layer.alpha_forward.fill_(1)
        layer.alpha_backward.fill_(0)
        layer.conv.weight.zero_()
        layer.conv.bias.fill_(1e9)
    x = torch.tensor([2.0, 3.0, 5.0, 11.0], dtype=torch.float64).reshape(1, 4, 1)
    assert layer(x).flatten().tolist() == [3.0, 5.0, 11.0, 11.0]


@given(sequence_cases())
def test_identical_frames_pass_unchanged(case: SequenceCase) -> None:
    x = case.sequences()[:, :1].expand(-1, case.frames, -1)
    assert torch.equal(enhancer_of(case)(x, mask=case.mask_tensor()), x)


@given(sequence_cases())
def test_adding_a_constant_vector_adds_it_to_the_output(case: SequenceCase) -> None:
    layer, x, mask = enhancer_of(case), case.sequences(), case.mask_tensor()
    constant = random_tensor((case.channels,), case.seed + 1)
    torch.testing.assert_close(layer(x + constant, mask=mask), layer(x, mask=mask) + constant, rtol=1e-12, atol=1e-12)


@given(sequence_cases(masked=False, boundary="wrap"), st.integers(1, 10))
def test_wrapped_differences_commute_with_cyclic_shifts(case: SequenceCase, shift: int) -> None:
    layer, x = enhancer_of(case), case.sequences()
    torch.testing.assert_close(layer(x.roll(shift, 1)), layer(x).roll(shift, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("boundary", ["zero", "wrap", "roll"])
def test_enhancer_clips_do_not_affect_each_other(boundary: str) -> None:
    layer = randomised(DifferentialTemporalEnhancer(2, boundary=boundary))
    assert_clips_are_independent(layer, random_tensor((3, 5, 2), 1))


@given(sequence_cases(masked=True))
def test_enhancer_padding_does_not_affect_output_or_gradients(case: SequenceCase) -> None:
    layer, x, mask = enhancer_of(case), case.sequences(), case.mask_tensor()
    expected = layer(x, mask=mask)
    for poison in (float("nan"), float("inf")):
        poisoned = x.clone()
        poisoned[~mask] = poison
        poisoned.requires_grad_()
        enhanced = layer(poisoned, mask=mask)[mask]
        assert torch.equal(enhanced, expected[mask])
        leaves = [poisoned, *layer.parameters()]
        for gradient in torch.autograd.grad(enhanced.sum(), leaves):
            assert gradient.isfinite().all()
        (gradient,) = torch.autograd.grad(layer(poisoned, mask=mask)[mask].sum(), poisoned)
        assert (gradient[~mask] == 0).all()


@pytest.mark.parametrize("boundary", ["zero", "wrap", "roll"])
@pytest.mark.parametrize("step", [1, 2])
def test_enhancer_padding_does_not_change_real_frames(step: int, boundary: str) -> None:
    layer = randomised(DifferentialTemporalEnhancer(3, step=step, boundary=boundary))
    x, lengths = random_tensor((3, 7, 3), 2), [7, 4, 1]
    enhanced = layer(x, mask=end_padding(lengths, 7))
    for clip, result, length in zip(x, enhanced, lengths, strict=True):
        torch.testing.assert_close(result[:length], layer(clip[None, :length])[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("boundary", ["zero", "wrap", "roll"])
def test_enhancer_gradcheck(boundary: str) -> None:
    layer = randomised(DifferentialTemporalEnhancer(3, boundary=boundary, step=2))
    x = random_tensor((2, 5, 3), 3).requires_grad_()
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def encoder(seed: int = 0, **options) -> DTFormer:
    settings = {"depth": 2, "heads": 3, "mlp_channels": 7, "max_frames": 5} | options
    return randomised(DTFormer(6, **settings), seed, scale=0.3).eval()


@given(
    st.integers(1, 3),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from(("zero", "wrap", "roll")),
    st.integers(1, 3),
    st.data(),
)
def test_dtformer_output_and_gradients_agree_with_the_equations(
    batch: int, frames: int, differential: bool, boundary: str, step: int, data: st.DataObject
) -> None:
    layer = encoder(frames, differential=differential, boundary=boundary, step=step)
    rows = data.draw(st.none() | masks(batch, frames))
    mask = None if rows is None else torch.tensor(rows)
    x = random_tensor((batch, frames, 6), 4)
    leaves = leaves_of(layer, x)
    literal = reference.dtformer(x, leaves, heads=3, differential=differential, boundary=boundary, step=step, mask=mask)
    assert_agrees(layer(x, mask=mask), literal, leaves)


def test_dtformer_equals_the_tformer_on_identical_frames() -> None:
    full, plain = encoder(), encoder(differential=False)
    plain.load_state_dict({k: v for k, v in full.state_dict().items() if not k.startswith("enhancer.")})
    still = random_tensor((2, 1, 6), 5).expand(2, 5, 6)
    torch.testing.assert_close(full(still), plain(still), rtol=1e-12, atol=1e-12)
    moving = random_tensor((2, 5, 6), 5)
    assert not torch.allclose(full(moving), plain(moving))


def test_dtformer_depends_on_frame_order_through_positions() -> None:
    layer = encoder(differential=False)
    x = random_tensor((2, 5, 6), 6)
    assert not torch.allclose(layer(x), layer(x.flip(1)))
    with torch.no_grad():
        layer.get_parameter("position").zero_()
    torch.testing.assert_close(layer(x), layer(x.flip(1)), rtol=1e-12, atol=1e-12)


def test_shorter_clips_use_the_first_positions() -> None:
    layer = encoder()
    x = random_tensor((2, 3, 6), 7)
    expected = layer(x)
    with torch.no_grad():
        layer.get_parameter("position")[..., 4:, :] = 100
    assert torch.equal(layer(x), expected)


def test_dtformer_clips_do_not_affect_each_other() -> None:
    assert_clips_are_independent(encoder(), random_tensor((3, 4, 6), 8))


@given(st.integers(1, 5), st.data())
def test_dtformer_padding_does_not_affect_output_or_gradients(frames: int, data: st.DataObject) -> None:
    layer, x = encoder(), random_tensor((2, frames, 6), 9)
    mask = torch.tensor(data.draw(masks(2, frames)))
    expected = layer(x, mask=mask)
    for poison in (float("nan"), float("inf")):
        poisoned = x.clone()
        poisoned[~mask] = poison
        poisoned.requires_grad_()
        vectors = layer(poisoned, mask=mask)
        assert torch.equal(vectors, expected)
        (gradient, *others) = torch.autograd.grad(vectors.sum(), [poisoned, *layer.parameters()])
        assert (gradient[~mask] == 0).all()
        assert all(other.isfinite().all() for other in others)


def test_dtformer_padding_does_not_change_the_output() -> None:
    layer = encoder()
    x, lengths = random_tensor((3, 5, 6), 10), [5, 3, 1]
    vectors = layer(x, mask=end_padding(lengths, 5))
    for clip, vector, length in zip(x, vectors, lengths, strict=True):
        torch.testing.assert_close(vector, layer(clip[None, :length])[0], rtol=1e-12, atol=1e-12)


def test_dtformer_gradcheck() -> None:
    assert torch.autograd.gradcheck(encoder(), random_tensor((2, 3, 6), 11).requires_grad_())


def test_dropout_acts_only_in_training_mode() -> None:
    layer = encoder(dropout=0.5)
    x = random_tensor((2, 5, 6), 12)
    assert torch.equal(layer(x), layer(x))
    assert not torch.equal(layer.train()(x), layer(x))


def test_encoder_layers_start_with_different_weights() -> None:
    state = DTFormer(6, depth=2, heads=3, mlp_channels=7).state_dict()
    assert not torch.equal(state["layers.0.mlp.0.weight"], state["layers.1.mlp.0.weight"])


@given(st.integers(1, 3), st.integers(1, 5), st.data())
def test_temporal_mean_averages_unmasked_frames(batch: int, frames: int, data: st.DataObject) -> None:
    x = random_tensor((batch, frames, 6), 13)
    torch.testing.assert_close(TemporalMean()(x), x.mean(dim=1), rtol=1e-12, atol=1e-12)
    mask = torch.tensor(data.draw(masks(batch, frames)))
    expected = torch.stack([clip[real].mean(dim=0) for clip, real in zip(x, mask, strict=True)])
    x[~mask] = float("nan")
    torch.testing.assert_close(TemporalMean()(x, mask=mask), expected, rtol=1e-12, atol=1e-12)


def test_repr_shows_the_settings() -> None:
    assert "step=2" in repr(DifferentialTemporalEnhancer(6, step=2, boundary="wrap"))
    assert "wrap" in repr(DifferentialTemporalEnhancer(6, step=2, boundary="wrap"))
    text = repr(DTFormer(6, depth=2, heads=3, mlp_channels=7, max_frames=5))
    for fragment in ("DTFormer(", "6, max_frames=5", "(enhancer)"):
        assert fragment in text
