"""The community's list format: lines of `<frame folder> <number of frames> <label>`, or of folder and label alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dfer.data.data_set import DataSet, Entry, Notes, find_clips, find_route, numbered_lines
from dfer.data.folders import FolderTree
from dfer.errors import BadInput

# pandas writes 1 as 1.0. A label that is a name has no comma, and with spaces between the fields no space.
COUNT, NUMBER, NAME = r'"?(?P<frames>\d+)(?:\.0*)?"?', r"\d+(?:\.0*)?", r'[^\W\d][^,./\\"]*'
GAPS = {" ": r"\s+", ",": r"\s*,\s*"}
# Where several formats fit a whole file, the one whose folders exist is taken, then the first.
FORMATS = [
    re.compile(rf'(?P<path>.+){GAPS[gap]}{count}"?(?P<label>{NUMBER}|{NAME})"?')
    for gap, count in ((" ", COUNT + GAPS[" "]), (",", COUNT + GAPS[","]), (",", ""), (" ", ""))
]
HEADINGS = {"label", "labels", "class", "emotion"}
EXPECTED = (
    "`<frame folder> <number of frames> <label>`, or without the number, with spaces or commas; labels are numbers "
    "from 0 or names"
)
DAISEE_ROW = re.compile(r"\d+\.\w+(\s*,\s*[0-3]){4}")


class Line(NamedTuple):
    number: int
    path: str
    label: str
    frames: int | None

    @property
    def named(self) -> bool:
        """Whether the label is a name."""
        return not self.label[0].isdecimal()


def read_lists(
    files: Sequence[tuple[Path, FolderTree]],
    *,
    names: tuple[str, ...] | None = None,
    first_label: int = 0,
    skip_missing: bool = False,
    notes: Notes | None = None,
) -> DataSet:
    """Read a list of test clips, or one of training clips and one of test clips, each with the place of its folders.

    Absolute paths of another machine are looked for in the place too. A folder may contain spaces: the last fields of
    a line are the count and the label. Labels that are names are numbered as in `names`, otherwise alphabetically over
    all lists, whatever their case. If labels are numbers and there are no `names`, the data set has none.
    """
    notes = notes or Notes([], [])
    lists = {file: read_lines(file, place, notes) for file, place in files}
    named = [file for file, lines in lists.items() if lines[0].named]
    if numbered := [file for file in lists if named and file not in named]:
        raise BadInput(f"{named[0]}: its labels are names, those of {numbered[0]} numbers; use one of the two")
    if named and names is None:
        names = tuple(sorted({line.label.lower() for lines in lists.values() for line in lines}))
    parts = [
        find_clips(file, entries_of(file, lists[file], names or (), first_label), place, notes, may_miss=skip_missing)
        for file, place in files
    ]
    return DataSet(names or (), parts[0] if len(parts) > 1 else [], parts[-1], None, *notes)


def entries_of(file: Path, lines: Sequence[Line], names: Sequence[str], first_label: int) -> list[Entry]:
    numbers = {name.lower(): number for number, name in enumerate(names)}
    entries = []
    for line in lines:
        label = numbers.get(line.label.lower()) if line.named else int(line.label.partition(".")[0]) - first_label
        if label is None:
            raise BadInput(f"{file}:{line.number}: expected one of the classes {','.join(names)}, got {line.label}")
        if label < 0:
            raise BadInput(f"{file}:{line.number}: label {line.label} is below --first-label {first_label}")
        entries.append(Entry(line.number, line.path, label, line.frames))
    return entries


def read_lines(file: Path, place: FolderTree, notes: Notes) -> list[Line]:
    written = numbered_lines(file, "a clip list")
    lines = [(number, line) for number, line in written if not line.startswith("#")]
    if comments := len(written) - len(lines):
        notes.remarks.append(f"{file}: {comments} lines begin with # and are not read")
    heading = lines[0][1] if lines else ""
    if "ClipID" in heading.split(",") or DAISEE_ROW.fullmatch(heading):
        raise BadInput(
            f"{file}: is a table of DAiSEE, not a list of clips; give the folder of its tables with --daisee"
        )
    if heading and re.split(r"[,\s]+", heading)[-1].strip('"').lower() in HEADINGS:
        del lines[0]
    if not lines:
        raise BadInput(f"{file}: the list is empty; expected lines of {EXPECTED}")
    readings = [parse(lines, form) for form in FORMATS]
    complete = [[line for line in reading if line] for reading in readings if None not in reading]
    if not complete:
        closest = min(readings, key=lambda reading: reading.count(None))
        number, line = lines[closest.index(None)]
        raise BadInput(f"{file}:{number}: expected {EXPECTED}; got {line[:100]!r}; correct or delete the line")
    hits = [find_route([Entry(*line[:2], 0) for line in found], place)[1] for found in complete]
    # If the folders of two readings exist equally often, labels are more likely numbers than names.
    best = max(range(len(hits)), key=lambda index: (hits[index], not complete[index][0].named))
    found = complete[best]
    if not hits[best] and heading == "video_name,label" and all(line.path.isdecimal() for line in found):
        raise BadInput(f"{file}: is a split of DFEW, whose ids are not folder names; give DFEW's folder with --dfew")
    return found


def parse(lines: Sequence[tuple[int, str]], form: re.Pattern[str]) -> list[Line | None]:
    """None for a line that does not fit, or whose label is a name where the first one is a number, or vice versa."""
    found: list[Line | None] = []
    for number, line in lines:
        match = form.fullmatch(line)
        count = match.groupdict().get("frames") if match else None
        frames = int(count) if count else None
        found.append(match and Line(number, match["path"].strip('" '), match["label"].strip(), frames))
    first = next(filter(None, found), None)
    return [line if line and first and line.named == first.named else None for line in found]
