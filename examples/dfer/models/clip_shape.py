"""Check the input of every model, clips (B, T, 3, H, W), with one error message."""

from torch import Tensor


def check_clips(
    model: str, clips: Tensor, *, num_frames: int | None = None, size: int | None = None, least: int = 1
) -> None:
    """Accept (B, T, 3, H, W), at least one frame, at least ``least`` pixels on each side.

    Args:
        model: the name of the model, for the message.
        clips: any tensor.
        num_frames: the only T that the model takes, if it was made for one.
        size: the only H = W, likewise.
        least: the smallest H and W from which anything is left after the model's pooling.

    Raises:
        ValueError: what was expected, what came, the likely fix.
    """
    frames, height, width = num_frames or "T", size or "H", size or "W"
    fix = _fix(tuple(clips.shape), num_frames, size, least)
    if fix is None and not clips.is_floating_point():
        fix = f"Its values are {clips.dtype}: scale them to floating point first."
    if fix is not None:
        raise ValueError(f"{model} expects clips (B, {frames}, 3, {height}, {width}); got {tuple(clips.shape)}. {fix}")


def _fix(shape: tuple[int, ...], num_frames: int | None, size: int | None, least: int) -> str | None:
    if len(shape) != 5:
        return "One clip is clips.unsqueeze(0)." if len(shape) == 4 else f"It has {len(shape)} axes, not 5."
    _, frames, channels, height, width = shape
    if channels != 3:
        if frames == 3:
            return "Is it (B, C, T, H, W)? Then clips.transpose(1, 2)."
        if width == 3:
            return "Is it (B, T, H, W, C)? Then clips.permute(0, 1, 4, 2, 3)."
        return "Axis 2 should be the 3 colours."
    if frames == 0:
        return "It has no frames."
    if num_frames is not None and frames != num_frames:
        return f"Sample {num_frames} frames of each clip, or build the model with num_frames={frames}."
    if size is not None and (height, width) != (size, size):
        return f"Resize the frames to {size} x {size}, or build the model with another size."
    if min(height, width) < least:
        return f"Frames need at least {least} x {least} pixels."
    return None
