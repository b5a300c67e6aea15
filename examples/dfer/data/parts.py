"""The clips of a run in three parts: to train on, to choose the epoch by, and to test on."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dfer.data.augmentation import MEAN, STD
from dfer.data.checks import each_once, not_scored, question
from dfer.data.clips import ClipsInMemory, ClipsOnDisk, ClipSource
from dfer.data.data_set import DataSet, ListedClip
from dfer.errors import BadInput
from dfer.rendering.clips import LABEL_SETS, RenderedClips, render_clips
from dfer.rendering.hard_clips import CLASSES, render_hard_clips

CLIPS = {"training": 1050, "validation": 105, "test": 280}


@dataclass(frozen=True)
class RunData:
    names: tuple[str, ...]
    training: ClipSource
    validation: ClipSource
    test: ClipSource
    augmented: bool
    remarks: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    @property
    def parts(self) -> dict[str, ClipSource]:
        return {"training": self.training, "validation": self.validation, "test": self.test}


def rendered_data(label_set: str, *, frames: int, size: int, select_on: str, seed: int) -> RunData:
    """Nothing is augmented: the renderer varies light, colour, size and pose itself."""
    people = {part: clips // len(LABEL_SETS[label_set]) for part, clips in CLIPS.items()}
    clips = render_clips(label_set, people=sum(people.values()), frames=frames, size=size, seed=seed)
    data = split_by_people(LABEL_SETS[label_set], clips, people)
    return replace(data, validation=data.test) if select_on == "test" else data


def hard_data(*, training: int, validation: int, test: int, takes: int, frames: int, size: int, seed: int) -> RunData:
    """Three parts with these numbers of people. Nothing is augmented."""
    people = {"training": training, "validation": validation, "test": test}
    clips = render_hard_clips(people=sum(people.values()), takes=takes, frames=frames, size=size, seed=seed)
    return split_by_people(CLASSES, clips, people)


def split_by_people(names: tuple[str, ...], clips: RenderedClips, people: Mapping[str, int]) -> RunData:
    """Each part gets its number of people; no person is in two parts."""
    parts: dict[str, ClipSource] = {}
    first = 0
    for part, count in people.items():
        chosen = (clips.people >= first) & (clips.people < first + count)
        parts[part] = ClipsInMemory(clips.clips[chosen], clips.labels[chosen])
        first += count
    return RunData(names, parts["training"], parts["validation"], parts["test"], augmented=False)


def run_data(
    data: DataSet,
    *,
    size: int,
    frames: int,
    per_segment: int,
    select_on: str,
    seed: int,
    batch_size: int | None = None,
) -> RunData:
    """Check a data set and turn it into the clips of a run.

    If it has no validation part, a tenth of the training clips is held out, unless nothing is selected on them.
    Selecting on the test clips is common practice elsewhere.
    """
    data = each_once(data)
    remarks = [*data.remarks, *question(data, batch_size=batch_size)]
    training, choosing = data.training, data.validation
    if select_on == "test" or (select_on == "last" and choosing is None):
        choosing = data.test
    elif choosing is None:
        labels, subjects = [clip.label for clip in training], [clip.subject for clip in training]
        kept, held = split_by_label(labels, seed, subjects)
        if not held:
            raise BadInput(
                f"{training[0].place} and after: no clips can be held out for validation, since each label would lose "
                "its only clips or its only person; list more"
            )
        training, choosing = [data.training[i] for i in kept], [data.training[i] for i in held]
    if choosing is not data.test:
        remarks += not_scored("validation", choosing, training, data.names)
    remarks += not_scored("test", data.test, training, data.names)

    def on_disk(clips: Sequence[ListedClip]) -> ClipSource:
        return ClipsOnDisk(clips, size=size, segments=frames // per_segment, per_segment=per_segment)

    return RunData(
        data.names or tuple(f"class {label}" for label in range(1 + max(clip.label for clip in data.clips))),
        on_disk(training),
        on_disk(choosing),
        on_disk(data.test),
        augmented=True,
        remarks=tuple(remarks),
        changes=tuple(map(str, data.changes)),
    )


def split_by_label(
    labels: Sequence[int], seed: int, subjects: Sequence[str | None] | None = None
) -> tuple[list[int], list[int]]:
    """Hold out one tenth of every label's clips, at least one if there are two: (training, validation).

    With subjects, whole people are held out, as close to a tenth as their clips allow.
    """
    if subjects is not None and None not in subjects:
        held = held_subjects(labels, [str(subject) for subject in subjects], seed)
    else:
        held = held_clips(labels, seed)
    return [i for i in range(len(labels)) if i not in held], sorted(held)


def held_clips(labels: Sequence[int], seed: int) -> set[int]:
    places: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        places.setdefault(label, []).append(index)
    held: set[int] = set()
    for label, indices in places.items():
        random.Random(repr((seed, label))).shuffle(indices)
        if len(indices) > 1:
            held.update(indices[: max(1, len(indices) // 10)])
    return held


def held_subjects(labels: Sequence[int], subjects: Sequence[str], seed: int) -> set[int]:
    """Choose one person after another: the one who brings the share of each label closest to a tenth."""
    people = sorted(set(subjects))
    random.Random(repr((seed, "subjects"))).shuffle(people)
    row = {person: i for i, person in enumerate(people)}
    column = {label: i for i, label in enumerate(sorted(set(labels)))}
    clips = np.zeros((len(people), len(column)))
    for (person, label), count in Counter(zip(subjects, labels, strict=True)).items():
        clips[row[person], column[label]] = count
    total = clips.sum(axis=0)
    wanted = np.maximum(1, total // 10)
    held, chosen = np.zeros_like(total), set[str]()
    while len(chosen) < len(people):
        distance = (((held + clips - wanted) / wanted) ** 2).sum(axis=1)
        # Keep training clips of every label.
        distance[((held + clips == total) & (clips > 0)).any(axis=1)] = np.inf
        distance[[row[person] for person in chosen]] = np.inf
        best = int(distance.argmin())
        if distance[best] >= (((held - wanted) / wanted) ** 2).sum():
            break
        chosen.add(people[best])
        held += clips[best]
    return {i for i, subject in enumerate(subjects) if subject in chosen}
