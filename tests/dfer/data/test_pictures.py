import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfer.data.pictures import load_frames, read_picture
from dfer.errors import BadInput
from helpers.made_data import faces

FACES = faces()["happy"]


def ramp(height: int, width: int) -> Image.Image:
    across = np.tile(np.linspace(0, 250, width)[None, :, None], (height, 1, 3))
    across[..., 1] = np.linspace(0, 250, height)[:, None]
    return Image.fromarray(across.astype(np.uint8))


@pytest.mark.parametrize("size", [10, 24, 37])
def test_frames_are_resized_like_pillow(tmp_path: Path, size: int) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, face in zip(paths, FACES, strict=False):
        face.save(path)
    wanted = [np.asarray(face.resize((size, size), Image.Resampling.BILINEAR)) for face in FACES[:5]]
    loaded = load_frames(paths, size)
    assert loaded.is_contiguous()
    # The two round a few sums of weights to different sides.
    np.testing.assert_allclose(loaded.permute(0, 2, 3, 1).numpy(), np.stack(wanted).astype(int), atol=1)


def test_frames_of_different_sizes_are_resized(tmp_path: Path) -> None:
    FACES[0].save(tmp_path / "1.png")
    FACES[1].resize((48, 48)).save(tmp_path / "2.png")
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    loaded = load_frames(paths, 16)
    for i, path in enumerate(paths):
        assert loaded[i].equal(load_frames([path], 16)[0])


def test_middle_square_of_an_oblong_frame_is_used(tmp_path: Path) -> None:
    for name, picture in {"wide": ramp(10, 30), "tall": ramp(30, 10)}.items():
        picture.save(tmp_path / f"{name}.png")
    wide, tall = (load_frames([tmp_path / f"{name}.png"], 10)[0].permute(1, 2, 0).numpy() for name in ("wide", "tall"))
    np.testing.assert_array_equal(wide, np.asarray(ramp(10, 30))[:, 10:20])
    np.testing.assert_array_equal(tall, np.asarray(ramp(30, 10))[10:20])


def test_16_bit_pictures_keep_their_precision(tmp_path: Path) -> None:
    grey = (np.arange(16 * 16).reshape(16, 16) * 257).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "16.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "16.png"), np.repeat((grey >> 8)[..., None], 3, axis=-1))


@pytest.mark.filterwarnings("ignore:Palette images")
def test_pillow_warnings_about_readable_files_are_silenced(tmp_path: Path) -> None:
    """It warns about palettes with transparency and truncated EXIF data without naming the file."""
    palette = FACES[0].convert("P")
    palette.save(tmp_path / "palette.png", transparency=bytes(range(0, 200, 10)))
    FACES[0].save(tmp_path / "exif.jpg", exif=b"Exif\0\0MM\0*garbagegarbagegarbage")
    code = f"from dfer.data.pictures import load_frames; load_frames([*Path({str(tmp_path)!r}).iterdir()], 16)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", f"from pathlib import Path; {code}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    FACES[0].convert(mode).save(path)
    with Image.open(path) as picture:
        wanted = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(read_picture(path), wanted)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    """Six: the camera was turned; the top of the picture is stored at the left."""
    stored = ramp(8, 16)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png"), np.rot90(np.asarray(stored), k=-1))


def png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_decompression_bomb_is_refused_unread(tmp_path: Path, side: int) -> None:
    """Pillow warns about the first and raises for the second."""
    (tmp_path / "bomb.png").write_bytes(png(side, side, zlib.compress(bytes(1000))))
    with pytest.raises(BadInput, match=r"bomb\.png: cannot be read as a picture \(.*pixels.*extract the frame again"):
        read_picture(tmp_path / "bomb.png")


def test_every_kind_of_damage_is_reported_in_one_line(tmp_path: Path) -> None:
    """Lost, changed or added bytes: every Pillow error becomes one line that names the file."""
    draw = random.Random(0)
    messages = []
    for suffix in ("jpg", "png", "webp", "bmp"):
        whole = tmp_path / f"whole.{suffix}"
        FACES[0].save(whole)
        content = whole.read_bytes()
        for _ in range(60):
            damaged = bytearray(content)
            for _ in range(draw.randint(1, 20)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            path = tmp_path / f"damaged.{suffix}"
            path.write_bytes(damaged[: draw.randint(0, len(damaged))])
            try:
                read_picture(path)
            except BadInput as error:
                messages.append(str(error))
    assert len(messages) > 100
    assert all(f"{tmp_path}/damaged." in message and "\n" not in message for message in messages)


def test_missing_frame_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.jpg: cannot be read as a picture .*No such file"):
        load_frames([tmp_path / "gone.jpg"], 16)
