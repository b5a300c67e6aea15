"""The community's list format: lines of `<frame folder> <number of frames> <label>`, or of folder and label alone."""

from collections.abc import Sequence
from pathlib import Path

from dfer.bad_input import BadInput
from dfer.data.data_set import ClipList, Entry, best_shortening, find_clips, read_text
from dfer.data.folders import FolderTree, Place

# Separator (None: white space) and columns; where several fit a whole file, the one whose folders exist, then the
# first.
FORMATS: tuple[tuple[str | None, int], ...] = ((None, 3), (",", 3), (",", 2), (None, 2))
HEADINGS = {"label", "labels", "class", "emotion"}
EXPECTED = "`<frame folder> <number of frames> <label from 0>`, or without the number, with spaces or commas"


def read_clip_list(file: Path, place: Place | Path) -> ClipList:
    """Read a list whose folders lie in `place`; absolute paths of another machine are looked for there too.

    The folder may contain spaces: the last fields of a line are the count and the label.
    """
    if isinstance(place, Path):
        place = FolderTree(place)
    lines = [
        (number, line.strip())
        for number, line in enumerate(read_text(file, "a clip list").splitlines(), start=1)
        if line.strip()
    ]
    if lines and lines[0][1].replace(",", " ").split()[-1].strip('"').lower() in HEADINGS:
        del lines[0]
    if not lines:
        raise BadInput(f"{file}: the list is empty; expected lines of {EXPECTED}")
    readings = [[parse(line, *form) for line in lines] for form in FORMATS]
    whole = [entries for reading in readings if len(entries := as_entries(reading)) == len(lines)]
    if not whole:
        closest = max(readings, key=lambda reading: len(as_entries(reading)))
        number, line = lines[closest.index(None)]
        raise BadInput(f"{file}:{number}: expected {EXPECTED}; got {line[:100]!r}; correct or delete the line")
    hits = [best_shortening(entries, place)[1] for entries in whole]
    return find_clips(file, whole[hits.index(max(hits))], place)


def as_entries(reading: Sequence[Entry | None]) -> list[Entry]:
    return [entry for entry in reading if entry is not None]


def parse(numbered: tuple[int, str], separator: str | None, columns: int) -> Entry | None:
    number, line = numbered
    path, *numbers = (field.strip().strip('"') for field in line.rsplit(separator, columns - 1))
    if not path or len(numbers) != columns - 1 or not all(text.isdecimal() for text in numbers):
        return None
    return Entry(number, path, int(numbers[-1]), int(numbers[0]) if columns == 3 else None)
