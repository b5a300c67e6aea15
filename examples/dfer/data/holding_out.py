"""Which training clips are held out to choose the epoch by."""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np


def split_by_label(
    labels: Sequence[int], seed: int, subjects: Sequence[str | None] | None = None
) -> tuple[list[int], list[int]]:
    """Hold one tenth of every label's clips out, at least one where there are two: (training, validation).

    With subjects, whole people are held out, so that no person is in both parts; the tenth is then met as closely as
    their clips allow.
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
    """Take one person after another, each time the one that brings the shares of all labels closest to a tenth."""
    people = sorted(set(subjects))
    random.Random(repr((seed, "subjects"))).shuffle(people)
    row, column = (
        {person: i for i, person in enumerate(people)},
        {label: i for i, label in enumerate(sorted(set(labels)))},
    )
    clips = np.zeros((len(people), len(column)))
    for (person, label), count in Counter(zip(subjects, labels, strict=True)).items():
        clips[row[person], column[label]] = count
    total = clips.sum(axis=0)
    wanted = np.maximum(1, total // 10)
    held, chosen = np.zeros_like(total), set[str]()
    while len(chosen) < len(people):
        distance = (((held + clips - wanted) / wanted) ** 2).sum(axis=1)
        # Of every label something must be left to train on.
        distance[((held + clips == total) & (clips > 0)).any(axis=1)] = np.inf
        distance[[row[person] for person in chosen]] = np.inf
        best = int(distance.argmin())
        if distance[best] >= (((held - wanted) / wanted) ** 2).sum():
            break
        chosen.add(people[best])
        held += clips[best]
    return {i for i, subject in enumerate(subjects) if subject in chosen}
