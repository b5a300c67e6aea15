"""DAiSEE: 9,068 clips of learners, four states with levels from 0 to 3, made one label as in the paper."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dfer.bad_input import BadInput
from dfer.data.data_set import ClipList, DataSet, Entry, ListedClip, best_shortening, find_clips, read_table
from dfer.data.folders import Place

NAMES = ("boredom", "engagement", "confusion", "frustration")
COLUMNS = ("ClipID", "Boredom", "Engagement", "Confusion", "Frustration")
# Table 1 of the paper: so many clips of boredom and engagement are kept, at random. Its "validation" has the counts
# of DAiSEE's folder Test, its "test" those of Validation.
KEPT = {"Train": (259, 582), "Validation": (139, 312), "Test": (91, 204)}


def read_daisee(labels: Path, place: Place, *, seed: int, parts: str = "official") -> DataSet:
    """Read the tables of the folder `labels`; `place` has the frames, in the tree that prepare_videos.py makes.

    `parts="paper"` exchanges validation and test, as the paper's Table 1 does.
    """
    before = {part: read_part(labels / f"{part}Labels.csv", part, place) for part in KEPT}
    after = {part: undersample(clips.clips, KEPT[part], f"{seed} {part}") for part, clips in before.items()}
    validation, test = ("Validation", "Test") if parts == "official" else ("Test", "Validation")
    remarks = [remark for part in before.values() for remark in part.remarks]
    remarks.append(table_1({part: clips.clips for part, clips in before.items()}, after))
    if parts == "paper":
        remarks.append(
            "DAiSEE: as in the paper's Table 1, the folder Test chooses the epoch and Validation is reported"
        )
    changes = [change for part in before.values() for change in part.changes]
    return DataSet(NAMES, after["Train"], after[test], after[validation], tuple(remarks), tuple(changes))


def read_part(file: Path, part: str, place: Place) -> ClipList:
    """The clip's id names its user in the first six digits. Ids end in .avi or .mp4: the stem counts."""
    entries, zero = [], []
    for line, (clip, *levels) in read_table(file, "labels of DAiSEE", COLUMNS):
        stem = clip.partition(".")[0]
        if not stem.isdecimal() or any(level not in ("0", "1", "2", "3") for level in levels):
            raise BadInput(f"{file}:{line}: expected a clip's id and four levels 0 to 3, got {clip},{','.join(levels)}")
        user = stem[:6]
        path = f"DataSet/{part}/{user}/{stem}"
        entries.append(Entry(line, path, label_of([int(level) for level in levels]), subject=user))
        if set(levels) == {"0"}:
            zero.append((line, stem))
    # Of <user>/<clip>/<clip>.avi a folder <clip>/<clip> is made; others leave the frames in <clip> itself.
    doubled = [entry._replace(path=f"{entry.path}/{Path(entry.path).name}") for entry in entries]
    if entries and best_shortening(doubled, place)[1]:
        entries = doubled
    clips, remarks, changes = find_clips(file, entries, place, may_miss=True)
    if zero:
        remarks.append(
            f"{file}: {len(zero)} clips have all levels 0, first at line {zero[0][0]}: "
            "the tie rule makes them frustration"
        )
    changes += [f"{file}:{line}: {stem}: all levels are 0; labelled frustration" for line, stem in zero]
    return ClipList(clips, remarks, changes)


def label_of(levels: Sequence[int]) -> int:
    """The state with the highest level; of equals frustration, then confusion, then boredom, then engagement."""
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


def table_1(before: dict[str, list[ListedClip]], after: dict[str, list[ListedClip]]) -> str:
    """The clips of every state, as found and as kept."""
    lines = ["DAiSEE's clips, as found -> kept at random:"]
    lines.append(f"  {'folder':10}" + "".join(f"{name:>14}" for name in NAMES))
    for part, clips in before.items():
        found, kept = Counter(clip.label for clip in clips), Counter(clip.label for clip in after[part])
        cells = (f"{found[label]} -> {kept[label]}" for label in range(len(NAMES)))
        lines.append(f"  {part:10}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)
