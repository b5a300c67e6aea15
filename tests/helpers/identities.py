"""How well numbered faces agree with the truth about who is where, frame by frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# In pixels, between a head's centre and that of its box.
NEAR = 30.0


@dataclass(frozen=True)
class Agreement:
    """Of all frames of a film.

    switches: how often a person's number is another than before. shared: how many numbers more than one person had.
    missed, extra: people without a face, faces without a person. people: those who were to be seen.
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
    """truth: for each frame, by person, the centre of the head. found: by number, (left, top, width, height).

    cuts: numbers of frames with which a shot begins; there a new number is right, and everybody's old one is forgotten.
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
