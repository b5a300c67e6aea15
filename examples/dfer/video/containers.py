"""What PyAV does not tell: whether an MP4 is mirrored, and why a file is unreadable."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

# In bytes: enough to detect text.
BEGINNING = 4096


class Box(NamedTuple):
    """One box of an MP4 or QuickTime file; its content lies from `start` to `end` in the file."""

    kind: bytes
    start: int
    end: int


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """Yield the consecutive boxes between two positions of the file; none if it is not such a file."""
    while start + 8 <= end:
        file.seek(start)
        if len(beginning := file.read(8)) < 8:  # truncated file
            return
        size, kind = struct.unpack(">I4s", beginning)
        head = 8
        if size == 1:  # the size does not fit into 32 bits
            head = 16
            size = int.from_bytes(file.read(8), "big")
        stop = end if size == 0 else start + size
        if stop < start + head:
            return
        yield Box(kind, start + head, stop)
        start = stop


def is_mirrored(path: Path, track: int) -> bool:
    """Whether the display matrix of an MP4 track mirrors the picture, as with some front cameras.

    `VideoFrame.side_data` holds the matrix too, but reading it crashes the process if the frame also carries EXIF.
    """
    with path.open("rb") as file:
        for box in boxes(file, 0, path.stat().st_size):
            if box.kind == b"moov":
                return _turns_over(file, box, track)
    return False


def _turns_over(file: BinaryIO, movie: Box, track: int) -> bool:
    whole, own = False, False
    for box in boxes(file, movie.start, movie.end):
        if box.kind == b"mvhd":
            file.seek(box.start)
            long = file.read(1) == b"\x01"
            whole = _has_negative_determinant(file, box.start + (48 if long else 36))
        for inner in boxes(file, box.start, box.end) if box.kind == b"trak" else ():
            if inner.kind == b"tkhd":
                file.seek(inner.start)
                long = file.read(1) == b"\x01"
                file.seek(inner.start + (20 if long else 12))
                if int.from_bytes(file.read(4), "big") == track:
                    own = _has_negative_determinant(file, inner.start + (52 if long else 40))
    return whole != own


def _has_negative_determinant(file: BinaryIO, place: int) -> bool:
    file.seek(place)
    content = file.read(20)
    if len(content) < 20:
        return False
    a, b, _, c, d = struct.unpack(">5i", content)
    return bool(a * d < b * c)


def why_unreadable(path: Path, reason: str) -> str:
    """One line for a file that FFmpeg cannot open: what it is, and what to do."""
    try:
        with path.open("rb") as file:
            size, beginning = os.fstat(file.fileno()).st_size, file.read(BEGINNING)
            found = list(boxes(file, 0, size))
    except OSError:
        return f"not a readable video: {reason}"
    if not size:
        return "the file is empty; copy or record it again"
    has_index = any(box.kind == b"moov" and box.end <= size for box in found)
    if not has_index and any(box.kind in (b"ftyp", b"mdat") for box in found):
        return (
            "an unfinished recording: its index (the moov box) is missing or truncated; copy it again, or restore the "
            "index with a tool such as untrunc"
        )
    if not any(beginning):
        return "the file contains only zeros, like an unfinished download; copy it again"
    if _is_text(beginning):
        return "a text file, not a video; expected the video itself"
    return f"not a readable video or picture ({reason}); convert it to MP4, or copy it again if it is damaged"


def _is_text(beginning: bytes) -> bool:
    try:
        text = beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 3:  # unless the last character is cut off
            return False
        text = beginning[: error.start].decode("utf-8")
    return all(character.isprintable() or character.isspace() for character in text)
