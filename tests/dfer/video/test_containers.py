"""Messages for unreadable files, and mirrored MP4 files."""

import struct
from pathlib import Path

import pytest

from dfer.video.containers import is_mirrored, why_unreadable
from helpers.videos import shades, write_video


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (bytes(9000), "contains only zeros"),
        (b"<!doctype html><p>Not found", "a text file"),
        ("Grüße, ".encode() * 900, "a text file"),
        ("\u2603".encode() * 1400 + b"x", "a text file"),  # BEGINNING ends inside a character
        (b"\x89\x01\x02\xff" * 50, "not a readable video or picture (reason); convert it to MP4"),
        (struct.pack(">I4s8x", 16, b"ftyp") + struct.pack(">I4s", 0, b"mdat") + bytes(99), "an unfinished recording"),
        (struct.pack(">I4sQ", 1, b"mdat", 2**40) + bytes(99), "an unfinished recording"),
        (struct.pack(">I4s", 0, b"moov") + b"\x01" * 99, "not a readable video or picture"),
    ],
)
def test_message_names_the_kind_of_unreadable_file(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    told = why_unreadable(tmp_path / "a.mp4", "reason")
    assert said in told
    assert "\n" not in told


def test_truncated_files_raise_no_error(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", shades(1, 2), container={"movflags": "faststart"})
    content = video.read_bytes()
    for length in range(0, len(content), 7):
        video.write_bytes(content[:length])
        assert not is_mirrored(video, 1)
        assert why_unreadable(video, "reason")


@pytest.mark.parametrize("long", [False, True])
def test_movie_and_track_mirrors_cancel_out(tmp_path: Path, long: bool) -> None:
    def matrix(mirrored: bool) -> bytes:
        return struct.pack(">9i", -65536 if mirrored else 65536, 0, 0, 0, 65536, 0, 0, 0, 2**30)

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    head = struct.pack(">Bxxx", int(long))
    for movie in (False, True):
        for track in (False, True):
            mvhd = box(b"mvhd", head + bytes(44 if long else 32) + matrix(movie))
            stamps = bytes(16 if long else 8)
            tkhd = box(b"tkhd", head + stamps + struct.pack(">I", 7) + bytes(28 if long else 24) + matrix(track))
            (tmp_path / "a.mp4").write_bytes(box(b"moov", mvhd + box(b"trak", tkhd)))
            assert is_mirrored(tmp_path / "a.mp4", 7) == (movie != track)
            assert is_mirrored(tmp_path / "a.mp4", 8) == movie
