"""What happens to a training clip before the net sees it; one draw for all of its frames."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

# The statistics of ImageNet, which pretrained backbones expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)

CROP_SCALES = (1.0, 0.875, 0.75)
# Corners, centre and edge centres, as fractions of the room that the crop leaves.
CROP_OFFSETS = tuple((y, x) for y in (0.0, 0.5, 1.0) for x in (0.0, 0.5, 1.0))


def to_unit(clip: Tensor) -> Tensor:
    return clip.float() / 255


def normalise(clip: Tensor) -> Tensor:
    """(..., 3, H, W) from 0 to 1 to the scale of ImageNet-trained nets."""
    return (clip - clip.new_tensor(MEAN).view(3, 1, 1)) / clip.new_tensor(STD).view(3, 1, 1)


def augment(clip: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma, colour jitter, multi-scale crop at fixed offsets and horizontal flip of (T, 3, H, W) from 0 to 1."""
    gamma, brightness, contrast, saturation = (0.5 * torch.rand(4, generator=generator) - 0.25).exp().tolist()
    clip = brightness * clip.pow(gamma)
    grey = (clip * clip.new_tensor(LUMA).view(3, 1, 1)).sum(dim=-3, keepdim=True)
    clip = torch.lerp(grey, clip, saturation)
    clip = torch.lerp(grey.mean(), clip, contrast).clamp(0, 1)
    clip = multi_scale_crop(clip, generator)
    return clip.flip(-1) if torch.rand((), generator=generator) < 0.5 else clip


def multi_scale_crop(clip: Tensor, generator: torch.Generator) -> Tensor:
    """Cut a window whose sides and place come from short lists, and bring it back to the size of the clip."""
    height, width = clip.shape[-2:]
    tall, wide = torch.randint(len(CROP_SCALES), (2,), generator=generator).tolist()
    down, right = CROP_OFFSETS[int(torch.randint(len(CROP_OFFSETS), (), generator=generator))]
    rows, columns = round(height * CROP_SCALES[tall]), round(width * CROP_SCALES[wide])
    top, left = round(down * (height - rows)), round(right * (width - columns))
    window = clip[..., top : top + rows, left : left + columns]
    return interpolate(window, size=(height, width), mode="bilinear", align_corners=False)
