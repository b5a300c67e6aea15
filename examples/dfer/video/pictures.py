"""Pictures and animations, which Pillow reads: FFmpeg passes them on with metadata on which PyAV crashes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import AvifImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401

from dfer.bad_input import BadInput
from dfer.data.pictures import MOST_PIXELS, read_picture
from dfer.video.reading import Frame, Reader, UnreadableVideo, VideoReader

# Pillow finds a format that is named only if its plugin is imported.
ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")
# Further pages of these are other pictures, and no later ones.
STILL = ("BMP", "JPEG", "TIFF")
# In seconds: how long browsers show a frame of an animation that states next to no time.
NEXT_TO_NO_TIME, SHOWN_INSTEAD = 0.011, 0.1


class PictureReader(Reader):
    """Reads one picture, or the frames of an animation; both upright, as their EXIF says."""

    def _decode(self, step: int = 1) -> Iterator[Frame]:
        self.frames_read, self.duration = 0, 0.0
        with Image.open(self.path) as picture:
            frames = getattr(picture, "n_frames", 1) if picture.format in ANIMATED else 1
            too_large = frames > 1 and picture.width * picture.height > MOST_PIXELS
        self.still = frames == 1
        if too_large:
            raise UnreadableVideo(f"{picture.width} x {picture.height} pixels are too many for a frame")
        try:
            yield from self._animation(frames, step) if frames > 1 else self._picture()
        except BadInput as error:
            raise UnreadableVideo(str(error).removeprefix(f"{self.path}: ")) from None

    def _picture(self) -> Iterator[Frame]:
        pixels = torch.from_numpy(read_picture(self.path).copy()).permute(2, 0, 1)
        self.frames_read = 1
        yield Frame(0.0, pixels)

    def _animation(self, frames: int, step: int) -> Iterator[Frame]:
        with Image.open(self.path) as picture:
            for number in range(frames):
                try:
                    picture.seek(number)
                    pixels = np.array(picture.convert("RGB"))
                # Damaged files make Pillow's decoders raise nearly anything.
                except Exception as error:
                    if not number:
                        raise UnreadableVideo(f"its first frame is damaged ({error}); convert it again") from None
                    self.problem = f"only {number} of the {frames} frames that it states"
                    return
                time, shown = self.duration, float(picture.info.get("duration", 0)) / 1000
                self.frames_read = number + 1
                self.duration += shown if shown >= NEXT_TO_NO_TIME else SHOWN_INSTEAD
                if number % step == 0:
                    yield Frame(time, torch.from_numpy(pixels).permute(2, 0, 1))


def open_reader(path: Path) -> Reader:
    """The reader for a file, chosen by its content and not by its name."""
    try:
        with Image.open(path, formats=(*ANIMATED, *STILL)):
            return PictureReader(path)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return VideoReader(path)
