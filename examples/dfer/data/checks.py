"""Checks of the clips before a run: errors where its result would mean nothing, remarks where it would mean less."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

from dfer.data.clips import ClipSource, usable_cores
from dfer.data.data_set import Change, DataSet, ListedClip
from dfer.data.folders import Checked
from dfer.errors import BadInput
from dfer.progress import track


def question(data: DataSet, *, batch_size: int | None = None) -> list[str]:
    """Check everything that needs no decoded picture; return the remarks."""
    for (one, first), (other, second) in combinations(data.parts.items(), 2):
        seen = {identity(clip): clip for clip in first}
        if shared := [clip for clip in second if identity(clip) in seen]:
            raise BadInput(
                f"{len(shared)} of {len(second)} {other} clips are {one} clips too, first {shared[0].place} and "
                f"{seen[identity(shared[0])].place}: scores on them say nothing; take them out of one part"
            )
    remarks = labels(data) + not_square(data.clips)
    if batch_size is not None and len(data.training) < batch_size:
        remarks.append(
            f"{len(data.training)} training clips are fewer than the {batch_size} of a batch: "
            "each epoch is one step on them all"
        )
    return remarks


def identity(clip: ListedClip) -> str:
    return os.path.realpath(str(clip.frames))


def each_once(data: DataSet) -> DataSet:
    """Leave out repeated clips: one copy could choose the epoch while the other is trained on."""
    parts, remarks, changes = {}, [*data.remarks], [*data.changes]
    for name, clips in data.parts.items():
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
                again.append(Change(clip.place, str(clip.frames), "listed before; left out"))
        if again:
            remarks.append(
                f"{len(again)} of {len(clips)} {name} clips are repeated, first at {again[0].place}; each counts once"
            )
        changes += again
        parts[name] = [*seen.values()]
    return replace(
        data,
        training=parts["training"],
        test=parts["test"],
        validation=parts["validation"] or None,
        remarks=remarks,
        changes=changes,
    )


def labels(data: DataSet) -> list[str]:
    """Refuse labels that are not class numbers; report classes that cannot be learned."""
    trained = {clip.label for clip in data.training}
    found = {clip.label for clip in data.clips}
    classes = max(len(data.names), max(found) + 1)
    # Counted, not listed: a number that is not a label may be too large for a list of the classes that it implies.
    absent = classes - len(found)
    if len(found) > 1 and absent == min(found) > 0:
        raise BadInput(
            f"the labels are {min(found)} to {max(found)}, first {data.clips[0].place}; they are counted from 0: "
            f"give --first-label {min(found)}"
        )
    if absent > len(found):
        highest = max(data.clips, key=lambda clip: clip.label)
        raise BadInput(
            f"{highest.place}: label {highest.label} makes {classes} classes, {absent} of them without any clip; "
            "is another number taken for the label?"
        )
    if len(trained) < 2:
        raise BadInput(
            f"all {len(data.training)} training clips have the label {min(trained)}: there is nothing to learn"
        )
    remarks = []
    if none := [label for label in range(classes) if label not in found]:
        remarks.append(f"no clip at all shows {named(none, data.names)}; the net gets {classes} outputs")
    if unseen := sorted(found - trained):
        shown = named(unseen, data.names)
        remarks.append(f"no training clip shows {shown}: the net cannot learn it, and its recall will be 0")
    return remarks


def not_scored(part: str, clips: list[ListedClip], trained: list[ListedClip], names: Sequence[str]) -> list[str]:
    """Report the classes that are trained on but missing in a part, which UAR leaves out."""
    lacking = sorted({clip.label for clip in trained} - {clip.label for clip in clips})
    return [f"no {part} clip shows {named(lacking, names)}: UAR there is the mean over the others"] if lacking else []


def named(labels: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(names[label] if label < len(names) else str(label) for label in labels)


def not_square(clips: Sequence[ListedClip]) -> list[str]:
    """Read the header of one frame per clip."""
    with ThreadPoolExecutor() as pool:
        looked = pool.map(lambda clip: clip.frames.sides(), clips)
        sides = list(track(looked, "reading the sizes of frames", len(clips)))
    oblong = [(clip, size) for clip, size in zip(clips, sides, strict=True) if size[0] != size[1]]
    if not oblong:
        return []
    clip, (width, height) = oblong[0]
    told = f"{len(oblong)} of {len(clips)} clips have frames that are not square, first {clip.frames}"
    return [f"{told} ({width} x {height}): of each frame the middle square is taken"]


def check_frames(sources: Mapping[str, ClipSource]) -> dict[str, list[Checked]]:
    """Decode every frame of the parts once; an error counts all broken ones and names the first."""
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


def copies(sources: Mapping[str, ClipSource], contents: Mapping[str, Sequence[bytes]]) -> list[str]:
    """A remark for every two parts, by name, that share clips which look the same.

    Only clips whose contents occur in two parts are read: once each, all frames that a test sees. This is no error: two
    clips may both be black.
    """
    parts: dict[bytes, set[str]] = defaultdict(set)
    for part, found in contents.items():
        for content in found:
            parts[content].add(part)
    suspects = [(part, i) for part, found in contents.items() for i, one in enumerate(found) if len(parts[one]) > 1]
    alike: dict[bytes, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for part, index in track(suspects, "comparing clips that look alike", len(suspects)):
        frames = hashlib.sha256(sources[part].frames(index, None).numpy().tobytes()).digest()
        alike[frames][part].append(index)
    remarks = []
    for one, other in combinations(sources, 2):
        pairs = [(index, group[one][0]) for group in alike.values() if one in group for index in group.get(other, ())]
        if pairs:
            index, like = min(pairs)
            remarks.append(
                f"{len(pairs)} of {len(contents[other])} {other} clips look the same as {one} clips, first "
                f"{sources[other].name(index)} and {sources[one].name(like)}; scores on copies say nothing"
            )
    return remarks
