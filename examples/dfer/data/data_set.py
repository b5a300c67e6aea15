"""What a data set's reader gives, and how the clips that it names are found on disk."""

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dfer.data.folders import VIDEOS, Frames, Place
from dfer.errors import BadInput
from dfer.progress import track

# So many names stand in one line of a message, and so many folders are looked into for one that was nested.
MOST_NAMED, MOST_NESTED = 50, 20


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


def holding(root: Path, name: str) -> tuple[Path, list[str]]:
    """The folder that holds `name`: the root, or the only one of its folders that does, with a remark that says so."""
    if (root / name).exists() or not root.is_dir():
        return root, []
    inside = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir() and (Path(entry.path) / name).exists()]
    return (inside[0], [f"{root}: read from its folder {inside[0].name}"]) if len(inside) == 1 else (root, [])


def read_table(file: Path, what: str, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The rows of a comma-separated file, with their line numbers: the named columns, stripped.

    A file without a heading has exactly these columns.
    """
    lines = [pair for pair in enumerate(read_text(file, what).splitlines(), start=1) if pair[1].strip()]
    try:
        rows = [
            (number, [field.strip() for field in next(csv.reader([line], skipinitialspace=True))])
            for number, line in lines
        ]
    except csv.Error as error:
        raise BadInput(f"{file}: cannot be read as {what} ({error}); give a table with commas") from None
    header = rows[0][1] if rows else []
    if rows and len(header) == len(columns) and header[-1].isdecimal() and not set(header) & set(columns):
        # A copy without its heading: the columns are those that were published.
        header = list(columns)
        rows.insert(0, (0, header))
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


def one_folder_further(entries: Sequence[Entry], place: Place) -> tuple[int, int, str] | None:
    """How many folders to take off, and after how many of the rest which one to put in: archives nest folders.

    `Clip/clip_224x224/00001` may lie in `Clip/clip_224x224/clip_224x224/00001`. Of a path that was shortened only a
    doubled folder is looked for: another one could hold other clips of the same names.
    """
    found: Counter[tuple[int, int, str]] = Counter()
    for entry in entries[:: max(1, len(entries) // 10)]:
        for rank, path in enumerate(candidates(folder_of(entry.path))):
            parts = path.split("/")
            for depth in range(len(parts)):
                above, below = parts[:depth], parts[depth:]
                for folder in place.folders("/".join(above), most=MOST_NESTED):
                    safe = rank == 0 or above[-1:] == [folder]
                    if safe and place.has("/".join([*above, folder, *below])):
                        found[rank, depth, folder] += 1
    return found.most_common(1)[0][0] if found else None


def find_clips(file: Path, entries: Sequence[Entry], place: Place, *, may_miss: bool = False) -> ClipList:
    """Turn the lines of `file` into clips. Where the number of frames differs, the files on disk win.

    Missing and empty folders are named in one message: an error, or with `may_miss` a remark.
    """
    if not entries:
        raise BadInput(f"{file}: names no clips; give a file that does")
    rank, hits = best_shortening(entries, place)
    nested = None if hits else one_folder_further(entries, place)
    clips: list[ListedClip] = []
    missing, videos, unprepared, empty, differing, others = (list[tuple[int, str]]() for _ in range(6))
    for entry in track(entries, f"looking for the clips of {file.name}", len(entries)):
        path = path_of(entry, rank, nested)
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
        if frames.other:
            others.append((entry.line, f"{frames}/{frames.other}"))
        clips.append(ListedClip(frames, entry.label, f"{file}:{entry.line}", entry.subject))

    def counted(items: Sequence[tuple[int, str]], what: str, most: int = 1) -> str:
        names = ", ".join(name for _, name in items[:most])
        more = f" and {len(items) - most} more" if len(items) > most > 1 else ""
        return f"{file}: {len(items)} of {len(entries)} clips {what}, first at line {items[0][0]}: {names}{more}"

    if videos:
        what = "are videos where folders of frames are expected"
        raise BadInput(f"{counted(videos, what)}; run prepare_videos.py and point --frames-root to its --out")
    remarks: list[str] = []
    if nested:
        remarks.append(f"{file}: its clips lie one folder further than it says, first in {clips[0].frames}; read there")
    if unprepared:
        told = counted(unprepared, "could not be made of their videos")
        if not clips and not missing:
            raise BadInput(f"{told}; look into the reports of prepare_videos.py")
        remarks.append(f"{told}; left out")
    for items, what, advice in (
        (missing, "have no folder", "does --frames-root point to where the folders are now?"),
        (empty, "have folders without pictures", "extract their frames or delete the lines."),
    ):
        if items:
            told = counted(items, what, MOST_NAMED)
            if not clips:
                raise BadInput(f"{told}; {advice}")
            if not may_miss:
                raise BadInput(f"{told}; {advice} --skip-missing goes on without them")
            remarks.append(f"{told}; left out")
    if differing:
        remarks.append(f"{counted(differing, 'have another number of frames')}; the files on disk win")
    if others:
        remarks.append(f"{counted(others, 'hold pictures of a kind that is not read')}; these are left out")
    changes = {
        "left out": unprepared,
        "no folder; left out": missing,
        "no pictures; left out": empty,
        "the files on disk win": differing,
        "pictures of this kind are not read": others,
    }
    return ClipList(
        clips,
        remarks,
        [f"{file}:{line}: {what}: {change}" for change, items in changes.items() for line, what in items],
    )


def path_of(entry: Entry, rank: int, nested: tuple[int, int, str] | None) -> str:
    """Where the entry's frames lie, with the folders taken off and put in that hold for all entries."""
    paths = candidates(folder_of(entry.path))
    path = paths[min(nested[0] if nested else rank, len(paths) - 1)]
    if nested is None:
        return path
    parts = path.split("/")
    return "/".join([*parts[: nested[1]], nested[2], *parts[nested[1] :]])
