"""What is asked of the clips before a run: an error where the run would say nothing, a remark where it says less."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

from dfer.data.clips import ClipSource, usable_cores
from dfer.data.data_set import DataSet, ListedClip
from dfer.data.folders import Checked
from dfer.errors import BadInput
from dfer.progress import track


def question(data: DataSet, *, batch_size: int | None = None) -> list[str]:
    """Ask everything that needs no picture decoded; the remarks."""
    parts = {"training": data.training, "validation": data.validation or [], "test": data.test}
    for (one, first), (other, second) in combinations(parts.items(), 2):
        refuse_shared(one, first, other, second)
    remarks = labels(data) + not_square([clip for clips in parts.values() for clip in clips])
    if batch_size is not None and len(data.training) < batch_size:
        remarks.append(
            f"{len(data.training)} training clips are fewer than the {batch_size} of a batch: "
            "each epoch is one step on them all"
        )
    return remarks


def identity(clip: ListedClip) -> str:
    return os.path.realpath(str(clip.frames))


def each_once(data: DataSet) -> DataSet:
    """Leave out what a part lists again: one copy could choose the epoch while the other is trained on."""
    parts, remarks, changes = {}, list(data.remarks), list(data.changes)
    for name, clips in {"training": data.training, "validation": data.validation or [], "test": data.test}.items():
        seen: dict[str, ListedClip] = {}
        again = []
        for clip in clips:
            first = seen.setdefault(identity(clip), clip)
            if first.label != clip.label:
                raise BadInput(
                    f"{first.place} and {clip.place}: the same clip with the labels {first.label} and {clip.label}; "
                    "delete the wrong line"
                )
            if first is not clip:
                again.append(clip.place)
        if again:
            told = f"{len(again)} of {len(clips)} {name} clips are listed before, first at {again[0]}"
            remarks.append(f"{told}; each is taken once")
            changes += [f"{place}: listed before; left out" for place in again]
        parts[name] = list(seen.values())
    return replace(
        data,
        training=parts["training"],
        validation=None if data.validation is None else parts["validation"],
        test=parts["test"],
        remarks=tuple(remarks),
        changes=tuple(changes),
    )


def refuse_shared(one: str, first: Sequence[ListedClip], other: str, second: Sequence[ListedClip]) -> None:
    seen = {identity(clip): clip for clip in first}
    shared = [clip for clip in second if identity(clip) in seen]
    if shared:
        before = seen[identity(shared[0])]
        raise BadInput(
            f"{len(shared)} of {len(second)} {other} clips are {one} clips too, first {shared[0].place} and "
            f"{before.place}: scores on them say nothing; take them out of one part"
        )


def labels(data: DataSet) -> list[str]:
    """Numbers that are not classes, and classes that cannot be learned."""
    trained = Counter(clip.label for clip in data.training)
    every = [*data.training, *(data.validation or []), *data.test]
    found = {clip.label for clip in every}
    classes = max(len(data.names), max(found) + 1)
    # Counted, not listed: a number that is no label at all may be too large for a list of the classes that it makes.
    absent = classes - len(found)
    highest = max(every, key=lambda clip: clip.label)
    if len(found) > 1 and absent == min(found) > 0:
        raise BadInput(
            f"the labels are {min(found)} to {max(found)}, first {every[0].place}; they are counted from 0: "
            f"give --first-label {min(found)}"
        )
    if absent > len(found):
        raise BadInput(
            f"{highest.place}: label {highest.label} makes {classes} classes, {absent} of them without any clip; "
            "is another number taken for the label?"
        )
    if len(trained) < 2:
        raise BadInput(
            f"all {len(data.training)} training clips have the label {next(iter(trained))}: there is nothing to learn"
        )
    none = [label for label in range(classes) if label not in found]
    remarks = [f"no clip at all shows {named(none, data.names)}; the net gets {classes} outputs"] if none else []
    unseen = [label for label in sorted(found) if label not in trained]
    if unseen:
        shown = named(unseen, data.names)
        remarks.append(f"no training clip shows {shown}: the net cannot learn it, and its recall will be 0")
    return remarks


def not_scored(
    part: str, clips: Sequence[ListedClip], trained: Sequence[ListedClip], names: Sequence[str]
) -> list[str]:
    """Classes that are trained on and that a part cannot judge: UAR passes them over."""
    there = {clip.label for clip in clips}
    lacking = sorted({clip.label for clip in trained} - there)
    if not lacking:
        return []
    return [f"no {part} clip shows {named(lacking, names)}: UAR there is the mean over the others"]


def named(labels: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(names[label] if label < len(names) else str(label) for label in labels)


def not_square(clips: Sequence[ListedClip]) -> list[str]:
    """Look at the header of one frame per clip."""
    with ThreadPoolExecutor() as pool:
        looked = pool.map(lambda clip: clip.frames.sides(), clips)
        sides = list(track(looked, "reading the sizes of frames", len(clips)))
    oblong = [(clip, size) for clip, size in zip(clips, sides, strict=True) if size[0] != size[1]]
    if not oblong:
        return []
    clip, (width, height) = oblong[0]
    return [f"{len(oblong)} of {len(clips)} clips have frames that are not square, first {clip.frames} "
            f"({width} x {height}): of each frame the middle square is taken"]  # fmt: skip


def check_frames(sources: Mapping[str, ClipSource]) -> dict[str, list[Checked]]:
    """Decode every frame of the parts once; an error counts all that are broken and names the first."""
    clips = [(part, index) for part, source in sources.items() for index in range(len(source.labels))]
    found: dict[str, list[Checked]] = {part: [] for part in sources}
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        checked = pool.map(lambda clip: sources[clip[0]].check(clip[1]), clips)
        for (part, _), clip in zip(clips, track(checked, "decoding all frames", len(clips)), strict=True):
            found[part].append(clip)
    every = [clip for part in found.values() for clip in part]
    if broken := [line for clip in every for line in clip.broken]:
        raise BadInput(f"{len(broken)} of {sum(clip.frames for clip in every)} frames are broken, first {broken[0]}")
    return found
