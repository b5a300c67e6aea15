"""Hypothesis strategies for configurations that are valid by construction, without filtering.

The axes of one case always have different sizes, so that no test passes with two axes exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

LAYOUTS = ("contiguous", "channels_last", "strided")
SIZES = (1, 2, 3, 4, 5, 6, 7, 11)


def laid_out(values: Tensor, layout: str) -> Tensor:
    """Return the same values in another memory layout. For clips and images, channels_last is per frame."""
    if layout == "channels_last":
        axis = values.ndim - 3
        return values.movedim(axis, -1).contiguous().movedim(-1, axis)
    if layout == "strided":
        return values.new_zeros(*values.shape, 2).copy_(values.unsqueeze(-1).expand(*values.shape, 2))[..., 0]
    return values.contiguous()


def random_tensor(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return random numbers, drawn on the CPU so that they are the same on every device."""
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
    return values.to(torch.get_default_device(), dtype)


@dataclass(frozen=True)
class AttentionCase:
    """One clip batch and one configuration of the adaptive global attention."""

    batch: int
    frames: int
    channels: int
    height: int
    width: int
    gate: bool
    local_kernel_size: int | None
    spatial_kernel_size: int
    context_kernel_size: int
    context_groups: int | None
    layout: str
    mask: tuple[tuple[bool, ...], ...] | None
    seed: int

    @property
    def options(self) -> dict[str, bool | int | None]:
        return {
            "gate": self.gate,
            "local_kernel_size": self.local_kernel_size,
            "spatial_kernel_size": self.spatial_kernel_size,
            "context_kernel_size": self.context_kernel_size,
            "context_groups": self.context_groups,
        }

    def clips(self, dtype: torch.dtype = torch.float64) -> Tensor:
        shape = (self.batch, self.frames, self.channels, self.height, self.width)
        return laid_out(random_tensor(shape, self.seed, dtype), self.layout)

    def mask_tensor(self) -> Tensor | None:
        return None if self.mask is None else torch.tensor(self.mask)


@dataclass(frozen=True)
class SequenceCase:
    """One batch of frame vectors and one configuration of the differential temporal enhancement."""

    batch: int
    frames: int
    channels: int
    step: int
    kernel_size: int
    boundary: str
    layout: str
    mask: tuple[tuple[bool, ...], ...] | None
    seed: int

    @property
    def options(self) -> dict[str, int | str]:
        return {"step": self.step, "kernel_size": self.kernel_size, "boundary": self.boundary}

    def sequences(self) -> Tensor:
        values = random_tensor((self.batch, self.frames, self.channels), self.seed)
        if self.layout == "channels_last":
            return values.transpose(1, 2).contiguous().transpose(1, 2)
        return laid_out(values, self.layout)

    def mask_tensor(self) -> Tensor | None:
        return None if self.mask is None else torch.tensor(self.mask)


@st.composite
def masks(draw: st.DrawFn, batch: int, frames: int) -> tuple[tuple[bool, ...], ...]:
    """Draw any mask with a real frame in every clip, with padding at the end, at the start and in between."""
    rows = []
    for _ in range(batch):
        row = draw(st.lists(st.booleans(), min_size=frames, max_size=frames))
        row[draw(st.integers(0, frames - 1))] = True
        rows.append(tuple(row))
    return tuple(rows)


def end_padding(lengths: list[int], frames: int) -> Tensor:
    """Return the mask (B, T) of clips padded at the end, True in the first `length` frames."""
    return torch.arange(frames) < torch.tensor(lengths)[:, None]


@st.composite
def attention_cases(draw: st.DrawFn, *, masked: bool | None = None) -> AttentionCase:
    groups = draw(st.sampled_from((1, 2, 3)))
    group_size = draw(st.sampled_from((1, 2, 4)))
    channels = groups * group_size
    others = [size for size in SIZES if size != channels]
    frames, height, width = draw(st.permutations(others))[:3]
    batch = draw(st.integers(1, 3))
    with_mask = draw(st.booleans()) if masked is None else masked
    return AttentionCase(
        batch=batch,
        frames=frames,
        channels=channels,
        height=height,
        width=width,
        gate=draw(st.booleans()),
        local_kernel_size=draw(st.sampled_from((None, 1, 3, 5))),
        spatial_kernel_size=draw(st.sampled_from((1, 3, 7))),
        context_kernel_size=draw(st.sampled_from((1, 3, 7, 9))),
        context_groups=draw(st.sampled_from((None, 1, groups))),
        layout=draw(st.sampled_from(LAYOUTS)),
        mask=draw(masks(batch, frames)) if with_mask else None,
        seed=draw(st.integers(0, 1000)),
    )


@st.composite
def sequence_cases(draw: st.DrawFn, *, masked: bool | None = None, boundary: str | None = None) -> SequenceCase:
    with_mask = draw(st.booleans()) if masked is None else masked
    frames, channels = draw(st.permutations(SIZES))[:2]
    batch = draw(st.integers(1, 3))
    return SequenceCase(
        batch=batch,
        frames=frames,
        channels=channels,
        step=draw(st.integers(1, frames + 1)),
        kernel_size=draw(st.sampled_from((1, 3, 5))),
        boundary=boundary or draw(st.sampled_from(("zero", "wrap", "roll"))),
        layout=draw(st.sampled_from(LAYOUTS)),
        mask=draw(masks(batch, frames)) if with_mask else None,
        seed=draw(st.integers(0, 1000)),
    )
