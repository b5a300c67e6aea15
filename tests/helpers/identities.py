"""Compare numbered faces with the ground truth of who is where, frame by frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """Counts over all frames of a film.

    switches: changes of a person's number. shared: numbers used for more than one person. missed: people without a
    face. extra: faces without a person. people: visible people.
    """

    switches: int
    shared: int
    missed: int
    extra: int
    people: int


def agreement(
    truth: Sequence[Mapping[int, tuple[float, float]]],
    found: Sequence[Mapping[int, tuple[float, float, float, float]]],
    cuts: Sequence[int] = (),
) -> Agreement:
    """Count agreements of found faces with the truth.

    truth: for each frame, the centre of each person's head. found: for each frame, (left, top, width, height) of each
    number. cuts: first frames of shots, at which everybody may get a new number.
    """
    numbers: dict[int, int] = {}
    owners: dict[int, set[int]] = {}
    switches = missed = extra = 0
    for frame, (people, faces) in enumerate(zip(truth, found, strict=True)):
        if frame in cuts:
            numbers = {}
        free = dict(faces)
        for person, (x, y) in people.items():
            inside = [
                n for n, box in free.items() if abs(box[0] + box[2] / 2 - x) < 25 and abs(box[1] + box[3] / 2 - y) < 30
            ]
            if not inside:
                missed += 1
                continue
            nearest = min(inside, key=lambda n: abs(free[n][0] + free[n][2] / 2 - x))
            del free[nearest]
            switches += numbers.setdefault(person, nearest) != nearest
            numbers[person] = nearest
            owners.setdefault(nearest, set()).add(person)
        extra += len(free)
    shared = sum(len(people) > 1 for people in owners.values())
    return Agreement(switches, shared, missed, extra, sum(map(len, truth)))
