"""What a caller may hand over instead of an argument, by the argument's role: the same in an odd form, or nonsense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Make = Callable[[], Any]


@dataclass(frozen=True)
class Role:
    """The right value of an argument, (odd, plain) pairs of values that mean the same, and values that are refused."""

    plain: Make
    odd: dict[str, tuple[Make, Make]] = field(default_factory=dict)
    wrong: dict[str, Make] = field(default_factory=dict)

    def without(self, *labels: str) -> Role:
        return Role(self.plain, self.odd, {label: make for label, make in self.wrong.items() if label not in labels})


class Text(str):
    """A string of another type."""


class Subclass(Tensor):
    """A tensor of another type."""


def _values(*values: Any) -> dict[str, Make]:
    return {f"{type(value).__name__} {value!r:.40}": (lambda value=value: value) for value in values}


def _same(plain: Any, *odd: Any) -> dict[str, tuple[Make, Make]]:
    return {name: (make, lambda: plain) for name, make in _values(*odd).items()}


def integer(plain: int, *wrong: Any, optional: bool = False, bounded: bool = True) -> Role:
    nonsense = [
        0,
        -1,
        -plain,
        float(plain),
        plain + 0.5,
        str(plain),
        True,
        False,
        [plain],
        (plain, plain),
        {},
        1j,
        b"3",
    ]
    nonsense += [float("nan"), float("inf"), np.float64(plain), np.array([plain, plain]), torch.tensor(plain), object()]
    nonsense += [np.bool_(True), torch.tensor([1, 2]), int, *wrong]
    nonsense += [] if optional else [None]
    nonsense += [100_000, 10**9, 2**70] if bounded else []
    return Role(lambda: plain, _same(plain, np.int64(plain), np.int32(plain), np.uint8(plain)), _values(*nonsense))


def kernel(plain: int, *, optional: bool = False) -> Role:
    return integer(plain, plain + 1, 1_000_001, optional=optional)


def flag(plain: bool) -> Role:
    nonsense = ["no", "", "True", 0, 1, None, [], 0.5, torch.tensor(True), object()]
    return Role(lambda: plain, _same(plain, np.bool_(plain)), _values(*nonsense))


def choice(plain: str, *, optional: bool = False) -> Role:
    nonsense = [plain.upper(), "", "nope", f"{plain} ", 3, [plain], {plain}, {}, plain.encode(), True, object()]
    nonsense += [] if optional else [None]
    return Role(lambda: plain, _same(plain, Text(plain), np.str_(plain)), _values(*nonsense))


def probability() -> Role:
    nonsense = [
        None,
        "0.1",
        -0.1,
        1.0,
        1,
        1.5,
        float("nan"),
        float("inf"),
        [0.1],
        torch.tensor(0.1),
        True,
        1j,
        object(),
    ]
    return Role(lambda: 0.0, _same(0.0, np.float32(0), np.float64(0), 0, -0.0), _values(*nonsense))


def device() -> Role:
    nonsense = ["gpu", "cuda:999", "", "cpu cpu", 3.5, ["cpu"], b"cpu", 999, torch.float32, True, object()]
    return Role(lambda: None, _same(None, "cpu", torch.device("cpu"), "cpu:0"), _values(*nonsense))


def dtype() -> Role:
    nonsense = [torch.int64, torch.bool, torch.complex64, "float32", float, np.float32, 32, torch.quint8, torch.uint8]
    nonsense += [torch.float8_e4m3fn, object()]
    return Role(lambda: None, _same(None, torch.float32), _values(*nonsense))


def module(make: Callable[[], nn.Module], *wrong: Any, optional: bool = False) -> Role:
    nonsense = [3, "resnet18", nn.Conv2d, len, [nn.Conv2d(3, 3, 1)], {}, torch.zeros(3), object(), *wrong]
    nonsense += [] if optional else [None]
    return Role(make, {}, _values(*nonsense))


def anything(plain: Any, *wrong: Any, odd: dict[str, tuple[Make, Make]] | None = None) -> Role:
    return Role(lambda: plain, odd or {}, _values(*wrong))


def numbers(
    shape: tuple[int, ...], channel_axis: int, *, any_dtype: bool = False, meets_parameters: bool = True
) -> Role:
    """A tensor of real numbers with its channels on one axis, at least three axes, and no axis as long as another."""

    def x() -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(1))

    def reordered() -> Tensor:
        other = channel_axis - 1 if channel_axis > 1 else channel_axis + 1
        return x().transpose(channel_axis, other)

    def strided() -> Tensor:
        return x()[..., None].expand(*shape, 2).clone()[..., 0]

    def in_inference_mode() -> Tensor:
        with torch.inference_mode():
            return x() + 0

    odd: dict[str, tuple[Make, Make]] = {
        "strided": (strided, x),
        "channels last": (lambda: x().movedim(channel_axis, -1).contiguous().movedim(-1, channel_axis), x),
        "frames last": (lambda: x().movedim(0, -1).contiguous().movedim(-1, 0), x),
        "expanded": (lambda: x()[:1].expand(shape), lambda: x()[:1].repeat(shape[0], *[1] * (len(shape) - 1))),
        "with a gradient": (lambda: x().requires_grad_(), x),
        "a parameter": (lambda: nn.Parameter(x()), x),
        "of a subclass": (lambda: x().as_subclass(Subclass), x),
    }
    if any_dtype:
        odd["float64"] = (lambda: x().double(), x)
    wrong: dict[str, Make] = _values(None, 3.5, "x", [1.0], object(), np.zeros(shape, np.float32), torch.Tensor)
    wrong |= {
        "a list of tensors": lambda: list(x()),
        "one axis more": lambda: x()[None],
        "two axes more": lambda: x()[None, None],
        "no axis": lambda: torch.tensor(1.0),
        "one axis": lambda: x().flatten(),
        "another number of channels": lambda: x().index_select(channel_axis, torch.tensor([0])),
        "channels on another axis": reordered,
        "channels moved last": lambda: x().movedim(channel_axis, -1) if channel_axis < x().ndim - 1 else None,
        "an empty last axis": lambda: x()[..., :0],
        "int64": lambda: x().long(),
        "uint8": lambda: x().byte(),
        "bool": lambda: x() > 0,
        "complex": lambda: torch.complex(x(), x()),
        "float8": lambda: x().to(torch.float8_e4m3fn),
        "sparse": lambda: x().to_sparse(),
        "quantised": lambda: torch.quantize_per_tensor(x(), 0.1, 0, torch.qint8),
        "nested": lambda: torch.nested.nested_tensor(list(x())),
        "jagged": lambda: torch.nested.nested_tensor(list(x()), layout=torch.jagged),
        "on the meta device": lambda: x().to("meta"),
    }
    if meets_parameters:
        wrong["made in inference mode"] = in_inference_mode
    else:
        odd["made in inference mode"] = (in_inference_mode, x)
    if not any_dtype:
        wrong |= {"float64": lambda: x().double(), "bfloat16": lambda: x().bfloat16()}
    return Role(x, odd, wrong)


def frame_mask(batch: int, num_frames: int) -> Role:
    """Which frames are real, of clips padded at their end."""

    def mask() -> Tensor:
        return torch.arange(num_frames) < torch.arange(num_frames, num_frames - batch, -1)[:, None]

    def everywhere() -> Tensor:
        return torch.ones(batch, num_frames, dtype=torch.bool)

    odd: dict[str, tuple[Make, Make]] = {
        "None": (lambda: None, everywhere),
        "strided": (lambda: mask()[..., None].expand(batch, num_frames, 2).clone()[..., 0], mask),
        "expanded": (lambda: torch.tensor(True).expand(batch, num_frames), everywhere),
        "of a subclass": (lambda: mask().as_subclass(Subclass), mask),
    }
    wrong: dict[str, Make] = _values("mask", 3, True, [True], object(), np.ones((batch, num_frames), bool)) | {
        "a list": lambda: mask().tolist(),
        "int64": lambda: mask().long(),
        "float32": lambda: mask().float(),
        "of one clip": lambda: mask()[0],
        "of fewer clips": lambda: mask()[:-1],
        "of fewer frames": lambda: mask()[:, :1],
        "transposed": lambda: mask().T,
        "with an axis more": lambda: mask()[..., None],
        "a clip without frames": lambda: mask() & (torch.arange(batch) > 0)[:, None],
        "no frame at all": lambda: ~everywhere(),
        "sparse": lambda: mask().to_sparse(),
        "on the meta device": lambda: mask().to("meta"),
    }
    return Role(mask, odd, wrong)
