"""What a data set's reader returns, and how it finds the clips that the annotations name."""

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dfer.data.folders import FolderTree, Frames, folder_of
from dfer.errors import BadInput
from dfer.progress import track

# The most names in one message, and the most subfolders to search for clips one level further down.
MOST_NAMED, MOST_NESTED = 50, 20


class ListedClip(NamedTuple):
    """`place` is where the annotations name the clip, for messages."""

    frames: Frames
    label: int
    place: str
    subject: str | None = None


class Change(NamedTuple):
    """A clip that was left out or is not as the annotations say."""

    place: str
    clip: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.clip}: {self.what}"


class Notes(NamedTuple):
    """What a reader reports: remarks to read before a run, and each clip that is not as the annotations say."""

    remarks: list[str]
    changes: list[Change]


@dataclass(frozen=True)
class DataSet:
    """Clips in the publishers' parts; without a validation part, one is held out of the training part."""

    names: tuple[str, ...]
    training: list[ListedClip]
    test: list[ListedClip]
    validation: list[ListedClip] | None = None
    remarks: Sequence[str] = ()
    changes: Sequence[Change] = ()

    @property
    def parts(self) -> dict[str, list[ListedClip]]:
        return {"training": self.training, "validation": self.validation or [], "test": self.test}

    @property
    def clips(self) -> list[ListedClip]:
        return [clip for part in self.parts.values() for clip in part]


class Entry(NamedTuple):
    """A line of the annotations: whose frames, how many it says they are, and the label."""

    line: int
    path: str
    label: int
    frames: int | None = None
    subject: str | None = None


def numbered_lines(file: Path, what: str) -> list[tuple[int, str]]:
    """The lines that are not empty, stripped, with their numbers from 1."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: cannot be read as {what} ({error}); give a text file in UTF-8") from None
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def holding(root: Path, name: str, notes: Notes) -> Path:
    """The folder that contains `name`: the root, or its only subfolder that does."""
    if (root / name).exists() or not root.is_dir():
        return root
    inside = [Path(entry) for entry in os.scandir(root) if entry.is_dir() and Path(entry, name).exists()]
    if len(inside) != 1:
        return root
    notes.remarks.append(f"{root}: read from its folder {inside[0].name}")
    return inside[0]


def read_table(file: Path, what: str, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The rows of a comma-separated file, with their line numbers: the named columns, stripped.

    A file without a heading has exactly these columns.
    """
    try:
        rows = [
            (number, [field.strip() for field in next(csv.reader([line], skipinitialspace=True))])
            for number, line in numbered_lines(file, what)
        ]
    except csv.Error as error:
        raise BadInput(f"{file}: cannot be read as {what} ({error}); give a table with commas") from None
    header = rows[0][1] if rows else []
    headed = len(header) != len(columns) or not header[-1].isdecimal() or bool(set(header) & set(columns))
    header, rows = (header, rows[1:]) if headed else (list(columns), rows)
    if any(header.count(column) != 1 for column in columns):
        raise BadInput(
            f"{file}: expected a first line with the columns {','.join(columns)}, each once, "
            f"got {','.join(header)[:100]!r}"
        )
    places = [header.index(column) for column in columns]
    for number, fields in rows:
        if len(fields) <= max(places) or any(fields[len(header) :]):
            raise BadInput(f"{file}:{number}: expected {len(header)} fields, got {len(fields)}; correct the line")
    return [(number, [fields[place] for place in places]) for number, fields in rows]


def candidates(path: str) -> list[str]:
    """The path with ever more of its first folders removed, for a list that was written on another machine.

    An absolute path comes last as it is: where the frames lie now takes precedence over where they once lay.
    """
    parts = [part for part in re.split(r"[/\\]+", folder_of(path)) if part not in ("", ".")]
    shortened = ["/".join(parts[first:]) for first in range(len(parts))]
    return [*shortened, folder_of(path)] if path.startswith("/") or not parts else shortened


class Route(NamedTuple):
    """How to get from a listed path to the clip's folder: drop the first folders, then insert one after `depth`."""

    dropped: int = 0
    depth: int = 0
    inserted: str | None = None

    def __call__(self, path: str) -> str:
        paths = candidates(path)
        found = paths[min(self.dropped, len(paths) - 1)]
        if self.inserted is None:
            return found
        parts = found.split("/")
        return "/".join([*parts[: self.depth], self.inserted, *parts[self.depth :]])


def find_route(entries: Sequence[Entry], place: FolderTree) -> tuple[Route, int]:
    """The route by which most of a sample of the entries are found, and how many are.

    It is the same for all lines: line by line, a missing clip could be taken for another with the same last name.
    Where no clip is found, one folder more is tried, since archives nest folders: `Clip/clip_224x224/00001` may lie in
    `Clip/clip_224x224/clip_224x224/00001`. In a shortened path only a doubled folder is tried, since another folder
    could hold other clips with the same names.
    """
    sample = [candidates(entry.path) for entry in entries[:: max(1, len(entries) // 50)]]
    hits = [
        sum(rank < len(paths) and place.has(paths[rank]) for paths in sample) for rank in range(max(map(len, sample)))
    ]
    if any(hits):
        return Route(hits.index(max(hits))), max(hits)
    found = Counter[Route]()
    for paths in sample[::5]:
        for dropped, path in enumerate(paths):
            parts = path.split("/")
            for depth in range(len(parts)):
                folders = place.folders("/".join(parts[:depth]))
                for folder in folders if len(folders) <= MOST_NESTED else ():
                    route = Route(dropped, depth, folder)
                    if (dropped == 0 or parts[:depth][-1:] == [folder]) and place.has(route(paths[0])):
                        found[route] += 1
    return found.most_common(1)[0] if found else (Route(), 0)


class Problem(NamedTuple):
    what: str
    outcome: str
    advice: str = ""


VIDEO = Problem("videos instead of frames", "", "run prepare_videos.py and point --frames-root to its --out")
MISSING = Problem("no folder", "left out", "does --frames-root point to where the folders are now?")
EMPTY = Problem("no pictures in the folder", "left out", "extract the frames or delete the lines;")
UNPREPARED = Problem("no frames from prepare_videos.py", "left out", "look into the reports of prepare_videos.py")
COUNT = Problem("another number of frames", "the files on disk win")
FORMAT = Problem("pictures of a format that is not read", "these are left out")


def find_clips(
    file: Path, entries: Sequence[Entry], place: FolderTree, notes: Notes, *, may_miss: bool = False
) -> list[ListedClip]:
    """Turn the lines of `file` into clips. Where the number of frames differs, the files on disk win.

    Missing and empty folders are named in one message: an error, or with `may_miss` a remark.
    """
    if not entries:
        raise BadInput(f"{file}: names no clips; give a file that does")
    route, _ = find_route(entries, place)
    clips: list[ListedClip] = []
    found: dict[Problem, list[tuple[int, str]]] = {
        problem: [] for problem in (VIDEO, MISSING, EMPTY, UNPREPARED, COUNT, FORMAT)
    }
    for entry in track(entries, f"looking for the clips of {file.name}", len(entries)):
        path = route(entry.path)
        there = place.has(path)
        if not there and (why := place.left_out(path)):
            found[UNPREPARED].append((entry.line, f"{entry.path} ({why})"))
            continue
        frames = place.frames(path) if there else None
        if frames is None or not len(frames):
            problem = VIDEO if place.has_video(path) else EMPTY if there else MISSING
            found[problem].append((entry.line, str(frames or entry.path)))
            continue
        if entry.frames not in (None, len(frames)):
            found[COUNT].append((entry.line, f"{entry.path} (listed {entry.frames}, on disk {len(frames)})"))
        if frames.other:
            found[FORMAT].append((entry.line, f"{frames}/{frames.other}"))
        clips.append(ListedClip(frames, entry.label, f"{file}:{entry.line}", entry.subject))
    for problem, lines in found.items():
        if not lines:
            continue
        missing = problem in (MISSING, EMPTY)
        names = [name for _, name in lines[: MOST_NAMED if missing else 1]]
        more = f" and {len(lines) - len(names)} more" if missing and len(lines) > len(names) else ""
        told = f"{file}: {problem.what} for {len(lines)} of {len(entries)} clips, first at line {lines[0][0]}: "
        told += ", ".join(names) + more
        if problem is VIDEO or not clips:
            raise BadInput(f"{told}; {problem.advice.rstrip(';')}")
        if missing and not may_miss:
            raise BadInput(f"{told}; {problem.advice} --skip-missing leaves them out")
        notes.remarks.append(f"{told}; {problem.outcome}")
        what = f"{problem.what}; {problem.outcome}"
        notes.changes.extend(Change(f"{file}:{line}", name, what) for line, name in lines)
    if route.inserted:
        notes.remarks.append(f"{file}: its clips lie one folder further than it says, first in {clips[0].frames}")
    return clips
