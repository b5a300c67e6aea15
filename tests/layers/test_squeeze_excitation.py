"""SqueezeExcitation as its paper prints it."""

import torch
from hypothesis import given

import reference
from agdt_layers import SqueezeExcitation
from helpers.agreement import assert_agrees, assert_clips_are_independent, assert_drawn_alike, leaves_of, randomised
from helpers.strategies import AttentionCase, attention_cases, random_tensor


@given(case=attention_cases(masked=False))
def test_output_and_gradients_agree_with_the_equations(case: AttentionCase) -> None:
    channels = 16 * case.channels
    layer = randomised(SqueezeExcitation(channels), case.seed, scale=0.3).eval()
    frames = random_tensor((case.batch, channels, case.height, case.width), case.seed)
    leaves = leaves_of(layer, frames)
    assert_agrees(layer(frames), reference.squeeze_excitation(frames, layer.state_dict(keep_vars=True)), leaves)


def test_images_do_not_see_each_other() -> None:
    assert_clips_are_independent(randomised(SqueezeExcitation(16)).eval(), random_tensor((2, 16, 2, 3), 0))


def test_meta_device_reset_and_dtype() -> None:
    hollow = SqueezeExcitation(32, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in hollow.parameters()} == {("meta", torch.float64)}
    filled = SqueezeExcitation(64)
    for parameter in filled.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    filled.reset_parameters()
    assert_drawn_alike(filled, SqueezeExcitation(64))
    assert "32" in repr(hollow)
    for dtype in (torch.float16, torch.bfloat16):
        assert SqueezeExcitation(32, dtype=dtype)(torch.ones(2, 32, 3, 5, dtype=dtype)).dtype == dtype
