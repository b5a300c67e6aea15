"""DAiSEE: 9,068 clips of learners, four states with levels from 0 to 3, made one label as in the paper."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from dfer.data.data_set import (
    ClipList,
    DataSet,
    Entry,
    ListedClip,
    best_shortening,
    find_clips,
    holding,
    one_folder_further,
    read_table,
)
from dfer.data.folders import Place
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
# Of the draw of those clips. It is no setting: every run has the same clips, so that runs can be compared and pooled.
DRAW_SEED = 0


class Row(NamedTuple):
    """A line of a table. Ids end in .avi or .mp4, whatever the file does: the stem counts."""

    line: int
    stem: str
    levels: tuple[int, ...]

    @property
    def user(self) -> str:
        return self.stem[:6]


def read_daisee(
    labels: Path, place: Place, *, parts: Literal["official", "paper"] = "official", state: str | None = None
) -> DataSet:
    """Read the tables in DAiSEE's folder, or in its folder `Labels`; `place` has what prepare_videos.py makes.

    `official` reads the tables of the three parts. `paper` reads those of the paper's Table 1: the clips of
    AllLabels.csv, which lists more, by the folder that holds each, with validation and test exchanged. With a `state`
    the label is its level, and no clip is left out.
    """
    labels, nested = holding(labels, "Labels")
    folder = labels / "Labels" if (labels / "Labels").is_dir() else labels
    if parts == "paper":
        before, validation, test = split_by_folder(folder / "AllLabels.csv", place, state), "Test", "Validation"
    else:
        before, validation, test = read_parts(folder, place, state), "Validation", "Test"
    found = {part: clips.clips for part, clips in before.items()}
    names, after = LEVELS, found
    if state is None:
        names, after = NAMES, {part: undersample(clips, TABLE_1[part][1]) for part, clips in found.items()}
    remarks = nested + [remark for part in before.values() for remark in part.remarks]
    remarks.append(levels_found(found) if state else table_1(found, after))
    if parts == "paper":
        remarks.append("DAiSEE: as in the paper, the folder Test chooses the epoch and the folder Validation is tested")
    changes = [change for part in before.values() for change in part.changes]
    return DataSet(names, after["Train"], after[test], after[validation], tuple(remarks), tuple(changes))


def read_parts(labels: Path, place: Place, state: str | None) -> dict[str, ClipList]:
    files = {part: labels / f"{part}Labels.csv" for part in TABLE_1}
    return {part: clips_of(file, read_rows(file), part, place, state) for part, file in files.items()}


def read_rows(file: Path) -> list[Row]:
    rows = []
    for line, (clip, *levels) in read_table(file, "labels of DAiSEE", COLUMNS):
        stem = clip.partition(".")[0]
        if not stem.isdecimal() or any(level not in ("0", "1", "2", "3") for level in levels):
            raise BadInput(f"{file}:{line}: expected a clip's id and four levels 0 to 3, got {clip},{','.join(levels)}")
        rows.append(Row(line, stem, tuple(map(int, levels))))
    return rows


def split_by_folder(file: Path, place: Place, state: str | None) -> dict[str, ClipList]:
    """AllLabels.csv names no parts: a clip belongs to the one whose folder holds it."""
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
    clips = {part: clips_of(file, by_part[part], part, place, state) for part in TABLE_1}
    if nowhere := by_part[None]:
        clips["Train"].remarks.append(
            f"{file}: {len(nowhere)} of {len(rows)} clips have no folder in {', '.join(TABLE_1)}, first at line "
            f"{nowhere[0].line}: {nowhere[0].stem}; left out"
        )
        clips["Train"].changes.extend(f"{file}:{row.line}: {row.stem}: no folder; left out" for row in nowhere)
    return clips


def part_of(row: Row, place: Place) -> str | None:
    for part in TABLE_1:
        for above in (f"DataSet/{part}", part, f"DataSet/DataSet/{part}", f"DataSet/{part}/{part}", f"{part}/{part}"):
            path = f"{above}/{row.user}/{row.stem}"
            if any(place.has(own) or place.left_out(own) for own in (f"{path}/{row.stem}", path)):
                return part
    return None


def clips_of(file: Path, rows: Sequence[Row], part: str, place: Place, state: str | None = None) -> ClipList:
    """The clips of one part; a clip that is labelled and missing is left out."""
    entries = [
        Entry(row.line, f"DataSet/{part}/{row.user}/{row.stem}", label_of(row.levels, state), subject=row.user)
        for row in rows
    ]
    # prepare_videos.py makes a folder <clip>/<clip> of <clip>/<clip>.avi; others leave the frames in <clip> itself.
    doubled = [entry._replace(path=f"{entry.path}/{Path(entry.path).name}") for entry in entries]
    if entries and (
        best_shortening(doubled, place)[1]
        or (not best_shortening(entries, place)[1] and one_folder_further(doubled, place))
    ):
        entries = doubled
    clips, remarks, changes = find_clips(file, entries, place, may_miss=True)
    zero = [row for row in rows if state is None and not any(row.levels)]
    if zero:
        remarks.append(
            f"{file}: {len(zero)} clips have all levels 0, first at line {zero[0].line}: "
            "the tie rule makes them frustration"
        )
    changes += [f"{file}:{row.line}: {row.stem}: all levels are 0; labelled frustration" for row in zero]
    return ClipList(clips, remarks, changes)


def label_of(levels: Sequence[int], state: str | None = None) -> int:
    """The state with the highest level; of equals frustration, then confusion, then boredom, then engagement.

    With a `state`, its level.
    """
    if state is not None:
        return levels[NAMES.index(state)]
    return max((3, 2, 0, 1), key=lambda state: levels[state])


def undersample(clips: Sequence[ListedClip], kept: tuple[int, int]) -> list[ListedClip]:
    """Keep all of confusion and frustration, and at most so many of boredom and engagement; order stays.

    Every clip has a number drawn for its own id, and the smallest are kept: a missing clip changes one other.
    """

    def drawn(index: int) -> bytes:
        return hashlib.sha256(f"{DRAW_SEED} {Path(str(clips[index].frames)).name}".encode()).digest()

    chosen: set[int] = set()
    for label in range(len(NAMES)):
        places = [i for i, clip in enumerate(clips) if clip.label == label]
        chosen.update(sorted(places, key=drawn)[: kept[label]] if label < len(kept) else places)
    return [clips[i] for i in sorted(chosen)]


def levels_found(clips: Mapping[str, Sequence[ListedClip]]) -> str:
    lines = ["DAiSEE's clips of each level:", f"  {'folder':10}" + "".join(f"{name:>14}" for name in LEVELS)]
    for part, found in clips.items():
        counts = Counter(clip.label for clip in found)
        lines.append(f"  {part:10}" + "".join(f"{counts[level]:>14}" for level in range(len(LEVELS))))
    return "\n".join(lines)


def table_1(before: Mapping[str, Sequence[ListedClip]], after: Mapping[str, Sequence[ListedClip]]) -> str:
    """The clips of every state, found and kept, and below them what the paper's Table 1 has."""
    lines = ["DAiSEE's clips, found -> kept at random, and those of the paper's Table 1:"]
    lines.append(f"  {'folder':10}" + "".join(f"{name:>14}" for name in NAMES))
    for part, (found, drawn) in TABLE_1.items():
        ours, left = Counter(clip.label for clip in before[part]), Counter(clip.label for clip in after[part])
        counts = {part: [(ours[label], left[label]) for label in range(len(NAMES))]}
        counts["  paper"] = list(zip(found, (*drawn, *found[len(drawn) :]), strict=True))
        for name, pairs in counts.items():
            cells = (f"{first} -> {second}" for first, second in pairs)
            lines.append(f"  {name:10}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)
