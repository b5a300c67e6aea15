"""DAiSEE: 9,068 clips of learners, four states with levels from 0 to 3, made one label as in the paper."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dfer.data.data_set import ClipList, DataSet, Entry, ListedClip, best_shortening, find_clips, read_table
from dfer.data.folders import Place
from dfer.errors import BadInput

NAMES = ("boredom", "engagement", "confusion", "frustration")
LEVELS = ("very low", "low", "high", "very high")
COLUMNS = ("ClipID", "Boredom", "Engagement", "Confusion", "Frustration")
# Table 1 of the paper: so many clips of boredom and engagement are kept, at random. Its "validation" has the counts
# of DAiSEE's folder Test, its "test" those of Validation.
KEPT = {"Train": (259, 582), "Validation": (139, 312), "Test": (91, 204)}


class Row(NamedTuple):
    """A line of a table. Ids end in .avi or .mp4, whatever the file does: the stem counts."""

    line: int
    stem: str
    levels: tuple[int, ...]

    @property
    def user(self) -> str:
        return self.stem[:6]


def read_daisee(labels: Path, place: Place, *, seed: int, parts: str = "official", state: str | None = None) -> DataSet:
    """Read the tables in DAiSEE's folder, or in its folder `Labels`; `place` has what prepare_videos.py makes.

    `parts="paper"` exchanges validation and test, as the paper's Table 1 does. With a `state` the label is its level,
    and no clip is left out.
    """
    before = read_parts(labels / "Labels" if (labels / "Labels").is_dir() else labels, place, state)
    found = {part: clips.clips for part, clips in before.items()}
    after = found
    if state is None:
        after = {part: undersample(clips, KEPT[part], f"{seed} {part}") for part, clips in found.items()}
    validation, test = ("Validation", "Test") if parts == "official" else ("Test", "Validation")
    remarks = [remark for part in before.values() for remark in part.remarks]
    names = NAMES if state is None else LEVELS
    remarks.append(table_1(found, after, names))
    if parts == "paper":
        remarks.append(
            "DAiSEE: as in the paper's Table 1, the folder Test chooses the epoch and Validation is reported"
        )
    changes = [change for part in before.values() for change in part.changes]
    return DataSet(names, after["Train"], after[test], after[validation], tuple(remarks), tuple(changes))


def read_parts(labels: Path, place: Place, state: str | None = None) -> dict[str, ClipList]:
    """From the tables of the three parts; where none of them is there, from AllLabels.csv."""
    files, every = {part: labels / f"{part}Labels.csv" for part in KEPT}, labels / "AllLabels.csv"
    if every.is_file() and not any(file.exists() for file in files.values()):
        return split_by_folder(every, place, state)
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
    by_part: dict[str | None, list[Row]] = {part: [] for part in (*KEPT, None)}
    for row in rows:
        by_part[part_of(row, place)].append(row)
    for part in KEPT:
        if not by_part[part]:
            raise BadInput(
                f"{file}: none of its {len(rows)} clips is in a folder {part}; point --frames-root to what "
                "prepare_videos.py made of DAiSEE's folder DataSet, with Train, Validation and Test in it"
            )
    clips = {part: clips_of(file, by_part[part], part, place, state) for part in KEPT}
    if nowhere := by_part[None]:
        clips["Train"].remarks.append(
            f"{file}: {len(nowhere)} of {len(rows)} clips have no folder in {', '.join(KEPT)}, first at line "
            f"{nowhere[0].line}: {nowhere[0].stem}; left out"
        )
        clips["Train"].changes.extend(f"{file}:{row.line}: {row.stem}: no folder; left out" for row in nowhere)
    return clips


def part_of(row: Row, place: Place) -> str | None:
    for part in KEPT:
        for path in (f"DataSet/{part}/{row.user}/{row.stem}", f"{part}/{row.user}/{row.stem}"):
            if any(place.has(own) or place.left_out(own) for own in (f"{path}/{row.stem}", path)):
                return part
    return None


def clips_of(file: Path, rows: Sequence[Row], part: str, place: Place, state: str | None = None) -> ClipList:
    """The clips of one part; a clip that is labelled and missing is left out."""
    entries = [
        Entry(row.line, f"DataSet/{part}/{row.user}/{row.stem}", label_of(row.levels, state), subject=row.user)
        for row in rows
    ]
    # Of <user>/<clip>/<clip>.avi a folder <clip>/<clip> is made; others leave the frames in <clip> itself.
    doubled = [entry._replace(path=f"{entry.path}/{Path(entry.path).name}") for entry in entries]
    if entries and best_shortening(doubled, place)[1]:
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


def undersample(clips: Sequence[ListedClip], kept: tuple[int, int], seed: str) -> list[ListedClip]:
    """Keep all of confusion and frustration, and at most so many of boredom and engagement; order stays."""
    chosen: set[int] = set()
    for label in range(len(NAMES)):
        places = [i for i, clip in enumerate(clips) if clip.label == label]
        if label < len(kept) and kept[label] < len(places):
            places = random.Random(f"{seed} {label}").sample(places, kept[label])
        chosen.update(places)
    return [clips[i] for i in sorted(chosen)]


def table_1(
    before: dict[str, list[ListedClip]], after: dict[str, list[ListedClip]], names: Sequence[str] = NAMES
) -> str:
    """The clips of every label, as found and as kept."""
    lines = ["DAiSEE's clips, as found -> kept at random:"]
    lines.append(f"  {'folder':10}" + "".join(f"{name:>14}" for name in names))
    for part, clips in before.items():
        found, kept = Counter(clip.label for clip in clips), Counter(clip.label for clip in after[part])
        cells = (f"{found[label]} -> {kept[label]}" for label in range(len(names)))
        lines.append(f"  {part:10}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)
