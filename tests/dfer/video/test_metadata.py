"""No metadata that Pillow and FFmpeg can write crashes the process or changes a pixel."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from dfer.video.pictures import PictureReader, open_reader
from helpers.videos import shades, write_video

FORMATS = ("avif", "bmp", "gif", "jpg", "png", "tiff", "webp")
ANIMATED = ("avif", "gif", "png", "webp")

# In its own process, since a crash would end the tests; freeing frames is what crashed.
READ = """
import sys
from pathlib import Path
from dfer.video.pictures import open_reader
for _ in range(20):
    for path in sys.argv[1:]:
        frames = list(open_reader(Path(path)).frames())
        assert frames, path
        print(Path(path).name, len(frames), *frames[0].pixels.shape)
"""


def exif(orientation: int = 1) -> Image.Exif:
    written = Image.Exif()
    written[0x0112] = orientation
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298):
        written[tag] = "some text"
    camera = written.get_ifd(0x8769)
    camera[0x9003], camera[0x829A], camera[0x927C] = (
        "2020:01:01 00:00:00",
        TiffImagePlugin.IFDRational(1, 50),
        b"\0\xff" * 99,
    )
    place = written.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (52.0, 31.0, 12.0), "E", (13.0, 24.0, 36.0)
    return written


def everything(path: Path, orientation: int = 1, *, frames: int = 1) -> Path:
    """A 64 x 48 picture with a bright upper left quarter and all metadata of its format."""
    picture = Image.new("RGB", (64, 48), (20, 20, 20))
    picture.paste((240, 240, 240), (0, 0, 32, 24))
    text = PngImagePlugin.PngInfo()
    for kind in (text.add_text, text.add_itxt):
        kind("Comment", "<b>some text</b>")
    more = [picture.point(lambda level, n=n: level ^ (n << 5)) for n in range(1, frames)]
    picture.save(
        path,
        exif=exif(orientation),
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'></x:xmpmeta>",
        comment=b"some text",
        dpi=(300, 300),
        pnginfo=text,
        **({"save_all": True, "append_images": more, "duration": 80} if frames > 1 else {}),
    )
    return path


def video(path: Path, codec: str, pixels: str = "yuv420p") -> Path:
    """A video with title, chapters, cover picture and colour metadata, as from a phone."""
    with av.open(str(path), "w") as output:
        output.metadata.update(
            {"title": "<i>a title</i>", "comment": "x" * 5000, "creation_time": "2020-01-01T00:00:00Z"}
        )
        output.set_chapters(
            [{"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
        )
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.metadata.update({"language": "deu", "handler_name": "\u2603"})
        stream.codec_context.color_primaries, stream.codec_context.color_trc, stream.codec_context.colorspace = 9, 16, 9
        for level in range(0, 250, 50):
            picture = torch.full((48, 64, 3), level, dtype=torch.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture.numpy(), "rgb24")))
        output.mux(stream.encode(None))
    return path


def test_no_metadata_crashes_the_process(tmp_path: Path) -> None:
    pictures = [everything(tmp_path / f"still.{suffix}") for suffix in FORMATS]
    moving = [everything(tmp_path / f"moving.{suffix}", frames=3) for suffix in ANIMATED]
    videos = [
        video(tmp_path / "a.mp4", "libx264"),
        video(tmp_path / "b.mkv", "libx265", "yuv420p10le"),
        video(tmp_path / "c.mov", "mjpeg", "yuvj420p"),
        video(tmp_path / "d.mov", "png", "rgb24"),
    ]
    # A video whose frames carry EXIF, as from some cameras.
    (tmp_path / "e.mjpeg").write_bytes(everything(tmp_path / "x.jpg", 6).read_bytes() * 3)
    paths = [*pictures, *moving, *videos]
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, timeout=250, check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[: len(paths)] == [
        *(f"still.{suffix} 1 3 48 64" for suffix in FORMATS),
        *(f"moving.{suffix} 3 3 48 64" for suffix in ANIMATED),
        *(f"{path.name} 5 3 48 64" for path in videos),
    ]


@pytest.mark.parametrize("suffix", ["avif", "jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, 1)), (3, (1, 1)), (4, (1, 0)), (5, (0, 0)), (6, (0, 1)), (8, (1, 0))],
)
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int, corner: tuple[int, int]) -> None:
    reader = open_reader(everything(tmp_path / f"a.{suffix}", orientation))
    (frame,) = reader.frames()
    assert (reader.still, reader.fps, reader.duration) == (True, 0.0, 0.0)
    height, width = (64, 48) if orientation > 4 else (48, 64)
    assert frame.pixels.shape == (3, height, width)
    quarters = frame.pixels.float().mean(0).reshape(2, height // 2, 2, width // 2).mean((1, 3))
    assert divmod(int(quarters.argmax()), 2) == corner


@pytest.mark.parametrize("suffix", ANIMATED)
def test_animation_frames_have_their_stated_times(tmp_path: Path, suffix: str) -> None:
    reader = open_reader(everything(tmp_path / f"a.{suffix}", frames=4))
    assert [round(frame.time, 3) for frame in reader.frames()] == [0.0, 0.08, 0.16, 0.24]
    assert (reader.still, reader.duration, reader.frames_read) == (False, pytest.approx(0.32), 4)
    assert [number for number, _ in reader.numbered(3)] == [0, 3]


def test_reader_is_chosen_by_content(tmp_path: Path) -> None:
    picture = everything(tmp_path / "a.png").rename(tmp_path / "a.mp4")
    film = write_video(tmp_path / "b.mp4", shades(1, 2)).rename(tmp_path / "b.png")
    assert isinstance(open_reader(picture), PictureReader)
    assert len(list(open_reader(film).frames())) == 2
