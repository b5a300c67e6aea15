"""DAiSEE: 9,068 clips of learners, four states with levels from 0 to 3, made one label as in the paper."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from dfer.data.data_set import (
    Change,
    DataSet,
    Entry,
    ListedClip,
    Notes,
    find_clips,
    find_route,
    holding,
    read_table,
)
from dfer.data.folders import FolderTree
from dfer.errors import BadInput

NAMES = ("boredom", "engagement", "confusion", "frustration")
LEVELS = ("very low", "low", "high", "very high")
COLUMNS = ("ClipID", "Boredom", "Engagement", "Confusion", "Frustration")
# The paper's Table 1 by DAiSEE's own folders: clips found of each state, and how many of boredom and engagement are
# kept at random. The paper's validation part has the counts of the folder Test, its test part those of Validation.
TABLE_1 = {
    "Train": ((849, 4163, 275, 194), (259, 582)),
    "Validation": ((470, 1040, 106, 104), (139, 312)),
    "Test": ((264, 1301, 90, 68), (91, 204)),
}
# Seeds the draw of those clips. It is not a setting: all runs have the same clips, so they can be compared and pooled.
DRAW_SEED = 0


class Row(NamedTuple):
    """A line of a table. Ids end in .avi or .mp4, not always as the file does, so only the stem counts."""

    line: int
    stem: str
    levels: tuple[int, ...]

    @property
    def user(self) -> str:
        return self.stem[:6]


def read_daisee(
    labels: Path, place: FolderTree, *, parts: Literal["official", "paper"] = "official", state: str | None = None
) -> DataSet:
    """Read the tables in DAiSEE's folder, or in its folder `Labels`; `place` contains what prepare_videos.py makes.

    `official` reads the tables of the three parts. `paper` reads those of the paper's Table 1: the clips of
    AllLabels.csv, which lists more, by the folder that contains each, with validation and test exchanged. With a
    `state` the label is its level, and no clip is left out.
    """
    notes = Notes([], [])
    labels = holding(labels, "Labels", notes)
    folder = labels / "Labels" if (labels / "Labels").is_dir() else labels
    if parts == "paper":
        found = split_by_folder(folder / "AllLabels.csv", place, state, notes)
        validation, test = "Test", "Validation"
    else:
        files = {part: folder / f"{part}Labels.csv" for part in TABLE_1}
        found = {part: clips_of(file, read_rows(file), part, place, notes, state) for part, file in files.items()}
        validation, test = "Validation", "Test"
    names, kept = LEVELS, found
    if state is None:
        names, kept = NAMES, {part: undersample(clips, TABLE_1[part][1]) for part, clips in found.items()}
    notes.remarks.append(counts_in_words(found, kept, state))
    if parts == "paper":
        notes.remarks.append(
            "DAiSEE: as in the paper, the folder Test chooses the epoch and the folder Validation is tested"
        )
    return DataSet(names, kept["Train"], kept[test], kept[validation], *notes)


def read_rows(file: Path) -> list[Row]:
    rows = []
    for line, (clip, *levels) in read_table(file, "labels of DAiSEE", COLUMNS):
        stem = clip.partition(".")[0]
        if not stem.isdecimal() or any(level not in ("0", "1", "2", "3") for level in levels):
            raise BadInput(f"{file}:{line}: expected a clip's id and four levels 0 to 3, got {clip},{','.join(levels)}")
        rows.append(Row(line, stem, tuple(map(int, levels))))
    return rows


def split_by_folder(file: Path, place: FolderTree, state: str | None, notes: Notes) -> dict[str, list[ListedClip]]:
    """AllLabels.csv names no parts: a clip belongs to the one whose folder contains it."""
    rows = read_rows(file)
    by_part: dict[str | None, list[Row]] = {part: [] for part in (*TABLE_1, None)}
    for row in rows:
        by_part[part_of(row, place)].append(row)
    for part in TABLE_1:
        if not by_part[part]:
            raise BadInput(
                f"{file}: none of its {len(rows)} clips is in a folder {part}; point --frames-root to what "
                "prepare_videos.py made of DAiSEE's folder DataSet, with Train, Validation and Test in it"
            )
    if nowhere := by_part[None]:
        notes.remarks.append(
            f"{file}: no folder in {', '.join(TABLE_1)} for {len(nowhere)} of {len(rows)} clips, first at line "
            f"{nowhere[0].line}: {nowhere[0].stem}; left out"
        )
        notes.changes.extend(Change(f"{file}:{row.line}", row.stem, "no folder; left out") for row in nowhere)
    return {part: clips_of(file, by_part[part], part, place, notes, state) for part in TABLE_1}


def part_of(row: Row, place: FolderTree) -> str | None:
    for part in TABLE_1:
        for above in (f"DataSet/{part}", part, f"DataSet/DataSet/{part}", f"DataSet/{part}/{part}", f"{part}/{part}"):
            path = f"{above}/{row.user}/{row.stem}"
            if any(place.has(own) or place.left_out(own) for own in (f"{path}/{row.stem}", path)):
                return part
    return None


def clips_of(
    file: Path, rows: Sequence[Row], part: str, place: FolderTree, notes: Notes, state: str | None = None
) -> list[ListedClip]:
    """The clips of one part; a clip that is labelled and missing is left out."""
    if state is None and (zero := [row for row in rows if not any(row.levels)]):
        notes.remarks.append(
            f"{file}: all levels are 0 for {len(zero)} of {len(rows)} clips, first at line {zero[0].line}: "
            "labelled frustration by the tie rule"
        )
        notes.changes.extend(
            Change(f"{file}:{row.line}", row.stem, "all levels are 0; labelled frustration") for row in zero
        )
    entries = [
        Entry(row.line, f"DataSet/{part}/{row.user}/{row.stem}", label_of(row.levels, state), subject=row.user)
        for row in rows
    ]
    # prepare_videos.py makes a folder <clip>/<clip> of <clip>/<clip>.avi; others leave the frames in <clip> itself.
    doubled = [entry._replace(path=f"{entry.path}/{row.stem}") for entry, row in zip(entries, rows, strict=True)]
    if entries and find_route(doubled, place)[1]:
        entries = doubled
    return find_clips(file, entries, place, notes, may_miss=True)


def label_of(levels: Sequence[int], state: str | None = None) -> int:
    """The level of `state`; without it the highest state, with ties to frustration, then confusion, then boredom."""
    if state is not None:
        return levels[NAMES.index(state)]
    return max((3, 2, 0, 1), key=lambda state: levels[state])


def undersample(clips: Sequence[ListedClip], kept: tuple[int, int]) -> list[ListedClip]:
    """Keep all of confusion and frustration and at most `kept` of boredom and engagement, in their order.

    Each clip has a number that depends on its id alone, and the smallest are kept: a missing clip changes one other.
    """

    def drawn(index: int) -> bytes:
        return hashlib.sha256(f"{DRAW_SEED} {Path(str(clips[index].frames)).name}".encode()).digest()

    chosen: set[int] = set()
    for label in range(len(NAMES)):
        places = [i for i, clip in enumerate(clips) if clip.label == label]
        chosen.update(sorted(places, key=drawn)[: kept[label]] if label < len(kept) else places)
    return [clips[i] for i in sorted(chosen)]


def counts_in_words(
    found: Mapping[str, Sequence[ListedClip]], kept: Mapping[str, Sequence[ListedClip]], state: str | None
) -> str:
    """The clips of each level; or those of each state, found and kept, above the counts of the paper's Table 1."""
    title = "of each level:" if state else "found -> kept at random, and those of the paper's Table 1:"
    rows: list[tuple[str, Sequence[str]]] = [("folder", LEVELS if state else NAMES)]
    for part, (published, drawn) in TABLE_1.items():
        before, after = (Counter(clip.label for clip in clips[part]) for clips in (found, kept))
        if state:
            rows.append((part, [str(before[level]) for level in range(len(LEVELS))]))
            continue
        rows.append((part, [f"{before[label]} -> {after[label]}" for label in range(len(NAMES))]))
        both = zip(published, (*drawn, *published[len(drawn) :]), strict=True)
        rows.append(("  paper", [f"{count} -> {left}" for count, left in both]))
    lines = (f"  {name:10}" + "".join(f"{cell:>14}" for cell in cells) for name, cells in rows)
    return "\n".join([f"DAiSEE's clips, {title}", *lines])
