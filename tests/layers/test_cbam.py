"""CBAM agrees with the equations of its paper."""

from hypothesis import given

import reference
from agdt_layers import CBAM
from helpers.agreement import assert_agrees, assert_clips_are_independent, leaves_of, randomised
from helpers.strategies import AttentionCase, attention_cases, random_tensor


@given(case=attention_cases(masked=False))
def test_output_and_gradients_agree_with_the_equations(case: AttentionCase) -> None:
    channels = 16 * case.channels
    layer = randomised(CBAM(channels), case.seed, scale=0.3).eval()
    frames = random_tensor((case.batch, channels, case.height, case.width), case.seed)
    leaves = leaves_of(layer, frames)
    assert_agrees(layer(frames), reference.cbam(frames, layer.state_dict(keep_vars=True)), leaves)


def test_images_do_not_affect_each_other() -> None:
    assert_clips_are_independent(randomised(CBAM(16)).eval(), random_tensor((2, 16, 2, 3), 0))
