"""FrameWise: any image model as a clip model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers import checks
from agdt_layers.clip_axis import ClipAxis, call_with_clip_axis
from agdt_layers.tracing import NotScriptable, refuse_fx


class FrameWise(NotScriptable, nn.Module):
    """Run an image model on every frame of a clip, and tell the attention inside which frames form a clip.

    Every AGA inside learns T, and which frames are padding, from the call itself: nothing is stored between calls,
    threads do not affect each other, and torch.compile traces one full graph for a fixed T and one for a changing T.

    Args:
        model: takes images (N, C, H, W). The state-dict keys are the model's, prefixed with ``model.``.

    Raises:
        TypeError, ValueError: the model is not a module, or contains nn.DataParallel, whose threads would not know T;
            the clips or the mask do not fit.

    Note:
        Activation checkpointing works inside: the attention is told T again when a part is recomputed.

    Example:
        >>> from agdt_layers import ResNet18
        >>> encoder = FrameWise(ResNet18())
        >>> encoder(torch.randn(2, 4, 3, 64, 64)).shape
        torch.Size([2, 4, 512, 2, 2])
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        checks.module("FrameWise", "model", model)
        if any(isinstance(module, nn.DataParallel) for module in model.modules()):
            raise ValueError(
                "FrameWise got a model with nn.DataParallel inside, which would cut clips apart. "
                "Wrap the other way round: nn.DataParallel(FrameWise(model))."
            )
        self.model = model

    def forward(self, clips: Tensor, mask: Tensor | None = None) -> Any:
        """Run the model on every frame.

        Args:
            clips: (B, T, C, H, W).
            mask: bool (B, T), True where a frame is real; the attention inside takes it into account.

        Returns:
            The model's output with every tensor (B*T, ...) in it unfolded to (B, T, ...); tuples, lists, dicts and
            dataclasses keep their type. In objects of other classes nothing is unfolded.
        """
        name = type(self).__name__
        refuse_fx(name, clips, "Trace the model inside, FrameWise(fx.symbolic_trace(model)), or use torch.export.")
        checks.clips(name, clips, None)
        checks.module_device(name, clips, self.model)
        # A model of several dtypes knows itself what it takes.
        if not any(p.dtype == clips.dtype for p in self.model.parameters()):
            checks.module_dtype(name, clips, self.model)
        batch, num_frames = clips.shape[:2]
        checks.frame_mask(name, mask, batch, num_frames, clips.device)
        with checks.real_frames(name, mask):
            return _unfold(self._run(clips, mask), batch, num_frames)

    def _run(self, clips: Tensor, mask: Tensor | None) -> Any:
        if mask is not None:
            clips = torch.where(mask[:, :, None, None, None], clips, 0)
        frames = clips.flatten(0, 1)
        axis = ClipAxis(frames.shape[0], clips.shape[1], mask)
        if torch.compiler.is_compiling():
            return call_with_clip_axis(self.model, self.model, frames, axis)
        try:
            return call_with_clip_axis(self.model, self.model, frames, axis)
        except (RuntimeError, ValueError) as error:
            # A model does not say what it takes; most begin with a convolution. A ValueError has words of its own, but
            # they speak of folded frames, not of the clips that came.
            first = next((m for m in self.model.modules() if isinstance(m, nn.Conv2d)), None)
            turned = first is not None and first.in_channels in (clips.shape[1], clips.shape[4])
            if first is not None and (turned or isinstance(error, RuntimeError)):
                checks.clips(type(self).__name__, clips, first.in_channels)
            raise


def _unfold(output: Any, batch: int, num_frames: int) -> Any:
    if isinstance(output, Tensor):
        if output.ndim == 0 or output.shape[0] != batch * num_frames:
            raise ValueError(
                f"FrameWise expects outputs with the B*T = {batch * num_frames} frames on axis 0; "
                f"got {tuple(output.shape)}."
            )
        return output.unflatten(0, (batch, num_frames))
    if is_dataclass(output) and not isinstance(output, (Mapping, type)):
        parts_of = {each.name: _unfold(getattr(output, each.name), batch, num_frames) for each in fields(output)}
        return replace(output, **parts_of)
    if isinstance(output, Mapping):
        return type(output)({key: _unfold(value, batch, num_frames) for key, value in output.items()})  # type: ignore[call-arg]
    if isinstance(output, (tuple, list)):
        parts = [_unfold(value, batch, num_frames) for value in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    return output
