"""What a data set's reader gives, and how the clips that it names are found on disk."""

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dfer.bad_input import BadInput
from dfer.data.folders import VIDEOS, Frames, Place


class ListedClip(NamedTuple):
    """`place` is where the annotations name the clip, for messages."""

    frames: Frames
    label: int
    place: str
    subject: str | None = None


class ClipList(NamedTuple):
    """`remarks` are to be read before a run; `changes` name each clip that was left out or repaired."""

    clips: list[ListedClip]
    remarks: list[str]
    changes: list[str]


@dataclass(frozen=True)
class DataSet:
    """Clips in the parts that their publishers made; without a validation part, one is held out of the training."""

    names: tuple[str, ...]
    training: list[ListedClip]
    test: list[ListedClip]
    validation: list[ListedClip] | None = None
    remarks: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


class Entry(NamedTuple):
    """A line of the annotations: whose frames, how many it says they are, and the label."""

    line: int
    path: str
    label: int
    frames: int | None = None
    subject: str | None = None


def read_text(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: cannot be read as {what} ({error}); give a text file in UTF-8") from None


def read_table(file: Path, what: str, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The rows of a comma-separated file with a header, with their line numbers: the named columns, stripped."""
    lines = [pair for pair in enumerate(read_text(file, what).splitlines(), start=1) if pair[1].strip()]
    try:
        rows = [
            (number, [field.strip() for field in next(csv.reader([line], skipinitialspace=True))])
            for number, line in lines
        ]
    except csv.Error as error:
        raise BadInput(f"{file}: cannot be read as {what} ({error}); give a table with commas") from None
    header = rows[0][1] if rows else []
    if any(header.count(column) != 1 for column in columns):
        raise BadInput(
            f"{file}: expected a first line with the columns {','.join(columns)}, each once, "
            f"got {','.join(header)[:100]!r}"
        )
    places = [header.index(column) for column in columns]
    for number, fields in rows[1:]:
        if len(fields) <= max(places) or any(fields[len(header) :]):
            raise BadInput(f"{file}:{number}: expected {len(header)} fields, got {len(fields)}; correct the line")
    return [(number, [fields[place] for place in places]) for number, fields in rows[1:]]


def candidates(path: str) -> list[str]:
    """The path with ever more of its first folders taken off, for a list that was written on another machine.

    An absolute path comes last as it is: where the frames lie now is asked before where they once lay.
    """
    parts = [part for part in re.split(r"[/\\]+", path) if part not in ("", ".")]
    shortened = ["/".join(parts[first:]) for first in range(len(parts))]
    return [*shortened, path] if path.startswith("/") or not parts else shortened


def folder_of(path: str) -> str:
    """prepare_videos.py makes a folder x of the video x.avi."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix.lower() in VIDEOS else path


def best_shortening(entries: Sequence[Entry], place: Place) -> tuple[int, int]:
    """How many folders to take off the paths so that most are found, and how many of a sample are: one for all lines.

    Line by line, a missing clip could be taken for another of the same last name.
    """
    sample = [candidates(folder_of(entry.path)) for entry in entries[:: max(1, len(entries) // 50)]]
    hits = [
        sum(rank < len(paths) and place.has(paths[rank]) for paths in sample) for rank in range(max(map(len, sample)))
    ]
    return hits.index(max(hits)), max(hits)


def find_clips(file: Path, entries: Sequence[Entry], place: Place, *, may_miss: bool = False) -> ClipList:
    """Turn the lines of `file` into clips. Where the number of frames differs, the files on disk win.

    Missing and empty folders are counted in one message: an error, or with `may_miss` a remark.
    """
    if not entries:
        raise BadInput(f"{file}: names no clips; give a file that does")
    rank, _ = best_shortening(entries, place)
    clips: list[ListedClip] = []
    missing, videos, unprepared, empty, differing = (list[tuple[int, str]]() for _ in range(5))
    for entry in entries:
        paths = candidates(folder_of(entry.path))
        path = paths[min(rank, len(paths) - 1)]
        if not place.has(path):
            if why := place.left_out(path):
                unprepared.append((entry.line, f"{entry.path} ({why})"))
            else:
                (videos if place.has_video(path) else missing).append((entry.line, entry.path))
            continue
        frames = place.frames(path)
        if not len(frames):
            (videos if place.has_video(path) else empty).append((entry.line, str(frames)))
            continue
        if entry.frames not in (None, len(frames)):
            differing.append((entry.line, f"the list says {entry.frames}, the disk has {len(frames)}"))
        clips.append(ListedClip(frames, entry.label, f"{file}:{entry.line}", entry.subject))

    def counted(items: Sequence[tuple[int, str]], what: str) -> str:
        return f"{file}: {len(items)} of {len(entries)} clips {what}, first at line {items[0][0]}: {items[0][1]}"

    if videos:
        what = "are videos where folders of frames are expected"
        raise BadInput(f"{counted(videos, what)}; run prepare_videos.py and point --frames-root to its --out")
    remarks: list[str] = []
    if unprepared:
        told = counted(unprepared, "could not be made of their videos")
        if not clips and not missing:
            raise BadInput(f"{told}; look into the reports of prepare_videos.py")
        remarks.append(f"{told}; left out")
    if missing:
        told = counted(missing, "have no folder")
        if not may_miss or not clips:
            raise BadInput(f"{told}; does --frames-root point to where the folders are now?")
        remarks.append(f"{told}; left out")
    if empty:
        told = counted(empty, "have folders without pictures")
        if not may_miss or not clips:
            raise BadInput(f"{told}; extract their frames or delete the lines")
        remarks.append(f"{told}; left out")
    if differing:
        remarks.append(f"{counted(differing, 'have another number of frames')}; the files on disk win")
    changes = {
        "left out": unprepared,
        "no folder; left out": missing,
        "no pictures; left out": empty,
        "the files on disk win": differing,
    }
    return ClipList(
        clips,
        remarks,
        [f"{file}:{line}: {what}: {change}" for change, items in changes.items() for line, what in items],
    )
