"""Convolution to few channels as a matrix product.

torch's convolutions are made for many output channels: with only one, the backward pass takes longer on a CPU, and
inductor ties a compiled graph to N through its choice of algorithm. Here rows are cut into strips of 16
positions; the outputs of a strip are the inputs around it times the banded (Toeplitz) matrix of the kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

_STRIP = 16


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve x (N, I, H, W) with weight (O, I, k, l), k and l odd, zero padding: (N, O, H, W)."""
    batch, _, height, width = x.shape
    outputs, _, rows, columns = weight.shape
    toeplitz = _toeplitz_compiled if torch.compiler.is_compiling() else _toeplitz
    band = toeplitz(weight).permute(1, 2, 4, 0, 3).reshape(-1, outputs * _STRIP)
    out = (_around(x, rows, columns) @ band).view(batch, height, -1, outputs, _STRIP)
    return out.permute(0, 3, 1, 2, 4).reshape(batch, outputs, height, -1)[:, :, :, :width]


def weight_gradient(x: Tensor, d_out: Tensor, rows: int, columns: int) -> Tensor:
    """Return the gradient of the weight, (1, I, rows, columns), from that of the output, (N, 1, H, W)."""
    strips = pad(d_out, (0, _rest(d_out.shape[3]))).reshape(-1, _STRIP)
    band = (_around(x, rows, columns).T @ strips).view(x.shape[1] * rows, -1)
    # Tap j stands in the band's rows j + s, columns s: every (16 + 1)th entry of the part that begins at row j.
    return band.unfold(1, _STRIP**2, _STRIP)[:, :, :: _STRIP + 1].sum(dim=2).view(1, -1, rows, columns)


def _around(x: Tensor, rows: int, columns: int) -> Tensor:
    """Return the inputs around every strip of x (N, I, H, W), (N * H * strips, I * rows * (16 + columns - 1))."""
    length = _STRIP + columns - 1
    windows = _windows_compiled if torch.compiler.is_compiling() else _windows
    return windows(x, rows, columns).permute(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * rows * length)


def _toeplitz(weight: Tensor) -> Tensor:
    """Return the Toeplitz matrix of every row of the kernel, (O, I, k, l) -> (O, I, k, 16, 16 + l - 1)."""
    # The windows of the row between zeros, of which the last output has the first.
    return pad(weight, (_STRIP - 1, _STRIP - 1)).unfold(3, _STRIP + weight.shape[3] - 1, 1).flip(3)


def _toeplitz_compiled(weight: Tensor) -> Tensor:
    """As :func:`_toeplitz`, without overlapping views."""
    # The row, padded to one more than the matrix is wide and repeated, moves one on in each row of the matrix.
    width = _STRIP + weight.shape[3] - 1
    return pad(weight, (0, _STRIP)).repeat(1, 1, 1, _STRIP)[..., : _STRIP * width].unflatten(3, (_STRIP, width))


def _windows(x: Tensor, rows: int, columns: int) -> Tensor:
    """Cut out what is around every strip of x (N, I, H, W): (N, I, H, strips, rows, 16 + columns - 1)."""
    padded = pad(x, (columns // 2, columns // 2 + _rest(x.shape[3]), rows // 2, rows // 2))
    return padded.unfold(3, _STRIP + columns - 1, _STRIP).unfold(2, rows, 1).transpose(4, 5)


def _windows_compiled(x: Tensor, rows: int, columns: int) -> Tensor:
    """As :func:`_windows`, without overlapping views: inductor of torch 2.6 derives those wrongly, without a word."""
    height, number = x.shape[2], (x.shape[3] + _STRIP - 1) // _STRIP
    beyond = (columns - 1 + _STRIP - 1) // _STRIP  # strips that a window reaches into after its own
    end = _rest(x.shape[3]) + beyond * _STRIP - columns // 2
    strips = pad(x, (columns // 2, end, rows // 2, rows // 2)).unflatten(3, (number + beyond, _STRIP))
    reached = torch.cat([strips.narrow(3, first, number) for first in range(beyond + 1)], dim=4)
    window = reached[..., : _STRIP + columns - 1]
    return torch.stack([window.narrow(2, row, height) for row in range(rows)], dim=4)


def _rest(width: int) -> int:
    """Positions from the end of a row to the end of its last strip."""
    # Not -width % 16: of a symbolic width an older compiler takes that remainder to be less than it is.
    return (width + _STRIP - 1) // _STRIP * _STRIP - width
