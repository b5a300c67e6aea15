"""Arguments in an attention's own call override the clip axis."""

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import AdaptiveGlobalAttention, FrameWise
from helpers.strategies import end_padding, random_tensor


class CallsWith(nn.Module):
    """Calls its attention with keyword arguments."""

    def __init__(self, attention: nn.Module, **keywords: object) -> None:
        super().__init__()
        self.attention, self.keywords = attention, keywords

    def forward(self, frames: Tensor) -> Tensor:
        return self.attention(frames, **self.keywords)


@pytest.fixture
def attention() -> AdaptiveGlobalAttention:
    return AdaptiveGlobalAttention(5)


@pytest.fixture
def clips() -> Tensor:
    return random_tensor((2, 3, 5, 7, 4), 0, torch.float32)


def test_attention_called_without_a_mask_uses_the_clip_axis_mask(
    attention: AdaptiveGlobalAttention, clips: Tensor
) -> None:
    mask = end_padding([3, 1], 3)
    zeroed = clips * mask[:, :, None, None, None]
    out = FrameWise(CallsWith(attention))(clips, mask=mask)
    assert torch.equal(out, attention(zeroed, mask=mask))
    assert not torch.equal(out, attention(zeroed))


def test_mask_argument_overrides_the_clip_axis_mask(attention: AdaptiveGlobalAttention, clips: Tensor) -> None:
    of_the_axis, of_the_call = end_padding([3, 2], 3), end_padding([2, 1], 3)
    zeroed = clips * of_the_axis[:, :, None, None, None]
    out = FrameWise(CallsWith(attention, mask=of_the_call))(clips, mask=of_the_axis)
    assert torch.equal(out, attention(zeroed, mask=of_the_call))
    assert not torch.equal(out, attention(zeroed, mask=of_the_axis))


def test_num_frames_argument_overrides_the_clip_axis(attention: AdaptiveGlobalAttention, clips: Tensor) -> None:
    out = FrameWise(CallsWith(attention, num_frames=1))(clips)
    assert torch.equal(out, attention(clips.flatten(0, 1)).view_as(clips))
    assert not torch.equal(out, attention(clips))
