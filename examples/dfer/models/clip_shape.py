"""What every model here takes, clips (B, T, 3, H, W), and the one error for anything else."""

from torch import Tensor


def check_clips(
    model: str, clips: Tensor, *, num_frames: int | None = None, size: int | None = None, least: int = 1
) -> None:
    """Accept (B, T, 3, H, W); with ``num_frames`` or ``size`` only that T or H = W, and never below ``least`` pixels."""
    frames, side = num_frames or "T", size or "H"
    expected = f"{model} expects clips (B, {frames}, 3, {side}, {size or 'W'}); got {tuple(clips.shape)}"
    if clips.ndim != 5:
        raise ValueError(f"{expected}." + (" One clip is clips.unsqueeze(0)." if clips.ndim == 4 else ""))
    _, t, c, height, width = clips.shape
    if c != 3:
        if t == 3:
            fix = "Is it (B, C, T, H, W)? Then clips.transpose(1, 2)."
        elif width == 3:
            fix = "Is it (B, T, H, W, C)? Then clips.permute(0, 1, 4, 2, 3)."
        else:
            fix = "Axis 2 should be the 3 colours."
        raise ValueError(f"{expected}. {fix}")
    if t == 0 or (num_frames is not None and t != num_frames):
        raise ValueError(f"{expected}: {t} frames. Sample that many, or build the model with num_frames={t or 16}.")
    if size is not None and (height, width) != (size, size):
        raise ValueError(
            f"{expected}: frames of {height} x {width}. Resize them, or build the model for their size (they are square)."
        )
    if min(height, width) < least:
        raise ValueError(
            f"{expected}: frames of {height} x {width}, at least {least} x {least} are needed. Resize them."
        )
