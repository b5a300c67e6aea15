"""Augmentation of training clips: one draw per clip, applied to a whole batch on its device."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

# The statistics of ImageNet, which pretrained backbones expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)

CROP_SCALES = (1.0, 0.875, 0.75, 0.66)
# The two sides of a window are at most one scale apart, so faces nearly keep their proportions.
CROP_SIDES = tuple((y, x) for i, y in enumerate(CROP_SCALES) for j, x in enumerate(CROP_SCALES) if abs(i - j) <= 1)
# Corners, centre, edge centres and the centres of the quarters, as fractions of the space that the window leaves.
CROP_PLACES = (
    *((y, x) for y in (0.0, 0.5, 1.0) for x in (0.0, 0.5, 1.0)),
    *((y, x) for y in (0.25, 0.75) for x in (0.25, 0.75)),
)


def to_unit(clip: Tensor) -> Tensor:
    return clip.float() / 255


def normalise(clip: Tensor) -> Tensor:
    """(..., 3, H, W) from 0 to 1 to the scale of ImageNet-trained nets."""
    return (clip - clip.new_tensor(MEAN).view(3, 1, 1)) / clip.new_tensor(STD).view(3, 1, 1)


def draw(generator: torch.Generator) -> Tensor:
    """Draw a clip's augmentation: gamma, brightness, contrast, saturation, window (height, width, y, x), mirrored."""
    colours = (0.5 * torch.rand(4, generator=generator) - 0.25).exp()
    sides = CROP_SIDES[int(torch.randint(len(CROP_SIDES), (), generator=generator))]
    place = CROP_PLACES[int(torch.randint(len(CROP_PLACES), (), generator=generator))]
    mirrored = torch.randint(2, (1,), generator=generator)
    return torch.cat([colours, torch.tensor([*sides, *place]), mirrored])


def augment(clips: Tensor, draws: Tensor) -> Tensor:
    """Jitter, crop and mirror (B, T, 3, H, W) from 0 to 1 by the `draws` (B, 9) of its clips.

    Each clip is augmented independently of the others. The window is resized to the size of the clip.
    """
    gamma, brightness, contrast, saturation = draws[:, :4, None, None, None, None].to(clips).unbind(1)
    # In place after the first step: a batch of clips takes a large part of a cache or of a GPU's memory.
    clips = clips.pow(gamma).mul_(brightness)
    grey = (clips * clips.new_tensor(LUMA).view(3, 1, 1)).sum(dim=-3, keepdim=True)
    clips = torch.lerp(grey, clips, saturation)
    clips = torch.lerp(grey.mean(dim=(1, 2, 3, 4), keepdim=True), clips, contrast).clamp_(0, 1)
    return crop(clips, draws)


def crop(clips: Tensor, draws: Tensor) -> Tensor:
    """Cut each clip's window and resize it (bilinear) to (H, W), mirrored if its draw says so."""
    height, width = clips.shape[-2:]
    tall, wide, down, right, mirrored = draws[:, 4:, None].to(clips).unbind(1)
    rows, columns = positions(height, tall, down), positions(width, wide, right)
    columns = torch.where(mirrored > 0, columns.flip(1), columns)
    grid = torch.stack([columns[:, None].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)], dim=-1)
    folded = clips.flatten(1, 2)
    return grid_sample(folded, grid, mode="bilinear", padding_mode="border", align_corners=True).view(clips.shape)


def positions(length: int, scale: Tensor, place: Tensor) -> Tensor:
    """Where the pixels of the resized window lie along one axis, -1 to 1 from the first pixel to the last: (B, L)."""
    window = (length * scale).round()
    start = (place * (length - window)).round()
    pixel = (torch.arange(length, device=scale.device) + 0.5) * window / length - 0.5
    # Pixels outside the window are not used.
    pixel = pixel.clamp(min=0).minimum(window - 1) + start
    return 2 * pixel / max(length - 1, 1) - 1


def prepare(clips: Tensor, draws: Tensor | None = None) -> Tensor:
    """Turn (B, T, 3, H, W) uint8 into the net's input, augmented by the draws of a training batch.

    Vectors are returned as they are.
    """
    if clips.is_floating_point():
        return clips
    unit = to_unit(clips)
    return normalise(unit if draws is None else augment(unit, draws))
