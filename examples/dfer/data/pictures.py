"""Frames on disk to tensors; every problem with a file is one line that names it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from dfer.errors import BadInput

# Between this size and twice its own limit, Pillow only warns.
MOST_PIXELS = 2**26
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Its other warnings do not name the file, and any viewer shows the same picture.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
# Formats that are reported but not read; in some of them one file may contain a whole clip.
OTHER_PICTURES = {".avif", ".gif", ".heic", ".jfif", ".jp2", ".jpe", ".pgm", ".ppm", ".tga", ".tif", ".tiff"}


def load_frames(paths: Sequence[Path], size: int) -> Tensor:
    """Decode and resize (bilinear, antialiased, as Pillow does) to (T, 3, size, size) uint8.

    Frames are rotated as their EXIF data say. Of a frame that is not square, the middle square is used.
    """
    decoded = [middle_square(read_picture(path)) for path in paths]
    if len({picture.shape for picture in decoded}) == 1:
        return resize(np.stack(decoded), size)
    return torch.cat([resize(np.stack([picture]), size) for picture in decoded])


def read_picture(path: Path) -> NDArray[np.uint8]:
    """The upright picture as (H, W, 3) uint8."""
    with opened(path) as picture:
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        if picture.mode.startswith("I"):
            return np.repeat(eight_bits(np.asarray(picture))[..., None], 3, axis=-1)
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def picture_sides(path: Path) -> tuple[int, int]:
    """Width and height as stored, from the header alone."""
    with opened(path) as picture:
        return picture.size


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; every error inside the block becomes BadInput with one line."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise Image.DecompressionBombError(
                    f"{picture.width} x {picture.height} pixels are too many for a frame"
                )
            yield picture
    # Damaged files make Pillow's decoders raise nearly anything: SyntaxError, struct.error, zlib.error, ...
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path}: cannot be read as a picture ({why}); extract the frame again") from None


def eight_bits(grey: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The high byte of 16-bit values; Pillow's own conversion cuts them off at 255."""
    return (grey.clip(0, 2**16 - 1) >> 8).astype(np.uint8)


def middle_square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def resize(pictures: NDArray[np.uint8], size: int) -> Tensor:
    """(T, H, W, 3) to (T, 3, size, size), contiguous."""
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    if frames.shape[-1] != size:
        # torch's uint8 kernel gives what Pillow's resize gives, faster.
        frames = interpolate(frames, size=(size, size), mode="bilinear", antialias=True)
    return frames.contiguous()
