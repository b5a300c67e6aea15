"""The community's list format: lines of `<frame folder> <number of frames> <label>`, or of folder and label alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dfer.data.data_set import ClipList, DataSet, Entry, best_shortening, find_clips, read_text
from dfer.data.folders import FolderTree, Place
from dfer.errors import BadInput

# Separator (None: white space) and columns; where several fit a whole file, the one whose folders exist, then the
# first.
FORMATS: tuple[tuple[str | None, int], ...] = ((None, 3), (",", 3), (",", 2), (None, 2))
HEADINGS = {"label", "labels", "class", "emotion"}
EXPECTED = (
    "`<frame folder> <number of frames> <label>`, or without the number, with spaces or commas; labels are numbers "
    "from 0 or names"
)
# pandas writes 1 as 1.0.
NUMBER, NAME = re.compile(r"(\d+)(\.0*)?"), re.compile(r"[^\W\d][^,./\\]*")
DAISEE_ROW = re.compile(r"\d+\.\w+(\s*,\s*[0-3]){4}")


class Line(NamedTuple):
    number: int
    path: str
    label: str
    frames: int | None


class Lines(NamedTuple):
    file: Path
    place: Place
    lines: list[Line]
    comments: int

    @property
    def named(self) -> bool:
        """Whether the labels are names."""
        return not NUMBER.fullmatch(self.lines[0].label)


def read_clip_lists(
    files: Sequence[tuple[Path, Place]],
    *,
    names: tuple[str, ...] | None = None,
    first_label: int = 0,
    skip_missing: bool = False,
) -> tuple[list[ClipList], tuple[str, ...]]:
    """Read lists whose folders lie in their places, and the names of the classes, empty where labels are numbers.

    Absolute paths of another machine are looked for in the place too. A folder may contain spaces: the last fields of
    a line are the count and the label. Labels that are names are numbered as in `names`, or else by the alphabet over
    all lists, whatever their case.
    """
    lists = [read_lines(file, place) for file, place in files]
    numbered = next((found for found in lists if not found.named), None)
    named = next((found for found in lists if found.named), None)
    if named and numbered:
        raise BadInput(f"{named.file}: its labels are names, those of {numbered.file} numbers; use one of the two")
    if named and names is None:
        names = tuple(sorted({line.label.lower() for found in lists for line in found.lines}))
    clips = [listed(found, names or (), first_label, skip_missing) for found in lists]
    return clips, (names or ()) if named else ()


def read_two_lists(training: tuple[Path, Place], test: tuple[Path, Place], **options: Any) -> DataSet:
    """Two lists as a data set; `options` are those of :func:`read_clip_lists`."""
    (first, second), names = read_clip_lists([training, test], **options)
    remarks, changes = (*first.remarks, *second.remarks), (*first.changes, *second.changes)
    return DataSet(options.get("names") or names, first.clips, second.clips, remarks=remarks, changes=changes)


def read_clip_list(file: Path, place: Place | Path) -> ClipList:
    """One list alone."""
    return read_clip_lists([(file, FolderTree(place) if isinstance(place, Path) else place)])[0][0]


def listed(found: Lines, names: tuple[str, ...], first_label: int, skip_missing: bool) -> ClipList:
    numbers = {name.lower(): number for number, name in enumerate(names)}
    entries = []
    for line in found.lines:
        if found.named:
            if line.label.lower() not in numbers:
                raise BadInput(f"{found.file}:{line.number}: {line.label} is none of --class-names {','.join(names)}")
            label = numbers[line.label.lower()]
        else:
            label = whole(line.label) - first_label
            if label < 0:
                raise BadInput(f"{found.file}:{line.number}: label {line.label} is below --first-label {first_label}")
        entries.append(Entry(line.number, line.path, label, line.frames))
    clips = find_clips(found.file, entries, found.place, may_miss=skip_missing)
    if found.comments:
        clips.remarks.append(f"{found.file}: {found.comments} lines begin with # and are not read")
    return clips


def read_lines(file: Path, place: Place) -> Lines:
    lines = [
        (number, line.strip())
        for number, line in enumerate(read_text(file, "a clip list").splitlines(), start=1)
        if line.strip()
    ]
    written = len(lines)
    lines = [(number, line) for number, line in lines if not line.startswith("#")]
    comments = written - len(lines)
    heading = lines[0][1] if lines else ""
    if "ClipID" in heading.split(",") or DAISEE_ROW.fullmatch(heading):
        raise BadInput(f"{file}: is a table of DAiSEE, not a list of clips; give the folder of its tables by --daisee")
    if heading.replace(",", " ").split()[-1:] and heading.replace(",", " ").split()[-1].strip('"').lower() in HEADINGS:
        del lines[0]
    if not lines:
        raise BadInput(f"{file}: the list is empty; expected lines of {EXPECTED}")
    readings = [alike([parse(line, *form) for line in lines]) for form in FORMATS]
    whole_readings = [found for reading in readings if len(found := there(reading)) == len(lines)]
    if not whole_readings:
        closest = max(readings, key=lambda reading: len(there(reading)))
        number, line = lines[closest.index(None)]
        raise BadInput(f"{file}:{number}: expected {EXPECTED}; got {line[:100]!r}; correct or delete the line")
    read = [Lines(file, place, found, comments) for found in whole_readings]
    hits = [best_shortening([Entry(*line[:2], 0) for line in found.lines], place)[1] for found in read]
    # Of two readings whose folders are there equally often, labels are rather numbers than names.
    best = max(range(len(read)), key=lambda index: (hits[index], not read[index].named))
    if not hits[best] and heading == "video_name,label" and all(line.path.isdecimal() for line in read[best].lines):
        raise BadInput(
            f"{file}: is a split of DFEW, whose clips no folder is named after; give DFEW's folder by --dfew"
        )
    return read[best]


def alike(reading: Sequence[Line | None]) -> list[Line | None]:
    """Labels are numbers in all lines or in none, as in the first."""
    first = next(iter(there(reading)), None)
    kind = NUMBER if first is None or NUMBER.fullmatch(first.label) else NAME
    return [line if line and kind.fullmatch(line.label) else None for line in reading]


def there(reading: Sequence[Line | None]) -> list[Line]:
    return [line for line in reading if line is not None]


def parse(numbered: tuple[int, str], separator: str | None, columns: int) -> Line | None:
    number, line = numbered
    path, *fields = (field.strip().strip('"') for field in line.rsplit(separator, columns - 1))
    if not path or len(fields) != columns - 1 or not (NUMBER.fullmatch(fields[-1]) or NAME.fullmatch(fields[-1])):
        return None
    if columns == 3 and not NUMBER.fullmatch(fields[0]):
        return None
    return Line(number, path, fields[-1], whole(fields[0]) if columns == 3 else None)


def whole(text: str) -> int:
    return int(text.partition(".")[0])
