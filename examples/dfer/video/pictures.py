"""Pictures and animations, read by Pillow because PyAV crashes on some of their metadata."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import AvifImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401

from dfer.data.pictures import MOST_PIXELS, read_picture
from dfer.errors import BadInput
from dfer.video.reading import Frame, Reader, UnreadableVideo, VideoReader

# With `formats`, Pillow needs the plugin of each format to be imported.
ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")
# Further pages of these formats are other pictures, not later frames.
STILL = ("BMP", "JPEG", "TIFF")
# In seconds: browsers show frames with a shorter stated duration for 0.1 s.
NEXT_TO_NO_TIME, SHOWN_INSTEAD = 0.011, 0.1


class PictureReader(Reader):
    """Reads a picture or the frames of an animation, upright according to EXIF."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.plays = False
        with Image.open(path) as picture:
            self._frames = getattr(picture, "n_frames", 1) if picture.format in ANIMATED else 1
            self._pixels = picture.width, picture.height
        self.still = self._frames == 1

    def stated_frames(self) -> int:
        return self._frames

    def _decode(self, step: int = 1) -> Iterator[Frame]:
        self.frames_read, self.duration, self.problem = 0, 0.0, None
        if self._pixels[0] * self._pixels[1] > MOST_PIXELS:
            raise UnreadableVideo(f"{self._pixels[0]} x {self._pixels[1]} pixels are too many for one frame")
        try:
            yield from self._picture() if self.still else self._animation(step)
        except BadInput as error:
            raise UnreadableVideo(str(error).removeprefix(f"{self.path}: ")) from None

    def _picture(self) -> Iterator[Frame]:
        pixels = torch.from_numpy(read_picture(self.path).copy()).permute(2, 0, 1)
        self.frames_read = 1
        yield Frame(0.0, pixels)

    def _animation(self, step: int) -> Iterator[Frame]:
        with Image.open(self.path) as picture:
            for number in range(self._frames):
                try:
                    picture.seek(number)
                    pixels = np.array(picture.convert("RGB"))
                # Pillow's decoders raise almost any exception on damaged files.
                except Exception as error:
                    if not number:
                        raise UnreadableVideo(f"its first frame is damaged ({error}); convert the file again") from None
                    self.problem = f"only {number} of the {self._frames} stated frames"
                    return
                time, shown = self.duration, float(picture.info.get("duration", 0)) / 1000
                self.frames_read = number + 1
                self.duration += shown if shown >= NEXT_TO_NO_TIME else SHOWN_INSTEAD
                if number % step == 0:
                    yield Frame(time, torch.from_numpy(pixels).permute(2, 0, 1))


def open_reader(path: Path) -> Reader:
    """Choose the reader for a file by its content, not by its name."""
    try:
        with Image.open(path, formats=(*ANIMATED, *STILL)):
            pass
        return PictureReader(path)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return VideoReader(path)
