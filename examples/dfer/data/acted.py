"""RAVDESS and CREMA-D: acted clips, which anybody may download; their names tell emotion and actor."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dfer.data.data_set import DataSet, ListedClip
from dfer.data.folders import Place
from dfer.errors import BadInput

FOLDS = (1, 2, 3, 4, 5)


class Recording(NamedTuple):
    """What a name tells; clips with the same `take` show the same pictures."""

    take: str
    emotion: str
    actor: int


class ActedSet(NamedTuple):
    title: str
    names: tuple[str, ...]
    read: Callable[[str], Recording | None]
    """None for what is no video of the set."""
    example: str


RAVDESS_NAMES = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")
# By the third number of a name, which counts from 1: the order above. By the codes in names:
CREMA_D_NAMES = {"HAP": "happy", "SAD": "sad", "NEU": "neutral", "ANG": "angry", "DIS": "disgust", "FEA": "fear"}


def ravdess_recording(name: str) -> Recording | None:
    """`02-01-06-01-02-01-12`: with sound, without or sound alone; speech or song; emotion; ...; actor."""
    match = re.fullmatch(r"0([12])-(0[12]-0([1-8])-0[12]-0[12]-0[12]-(\d\d))", name)
    return Recording(match[2], RAVDESS_NAMES[int(match[3]) - 1], int(match[4])) if match else None


def crema_d_recording(name: str) -> Recording | None:
    """`1001_DFA_ANG_XX`: actor, sentence, emotion, level."""
    match = re.fullmatch(r"(1\d{3})_[A-Z]{3}_([A-Z]{3})_(LO|MD|HI|XX|X)", name)
    emotion = CREMA_D_NAMES.get(match[2]) if match else None
    return Recording(name, emotion, int(match[1])) if match and emotion else None


ACTED = {
    "ravdess": ActedSet("RAVDESS", RAVDESS_NAMES, ravdess_recording, "Actor_12/02-01-06-01-02-01-12"),
    "crema_d": ActedSet("CREMA-D", tuple(CREMA_D_NAMES.values()), crema_d_recording, "1001_DFA_ANG_XX"),
}


def fold_of(actor: int) -> int:
    """The actors take turns, so that a fold stays the same whichever of them are there."""
    return (actor - 1) % len(FOLDS) + 1


def read_acted(acted: ActedSet, root: Path, place: Place, fold: int) -> DataSet:
    """The actors of one fold are tested on, those of the others trained on; labels are what the actors intended.

    `place` holds what prepare_videos.py made of the videos, in whatever folders. A take that is there with sound and
    without counts once.
    """
    if fold not in FOLDS:
        raise BadInput(f"{acted.title} has the folds 1 to 5; got {fold}")
    found, left_out = place.walk()
    takes: dict[str, tuple[str, Recording]] = {}
    recordings = [(path, recording) for path in sorted(found) if (recording := acted.read(path.rpartition("/")[2]))]
    for path, recording in recordings:
        takes.setdefault(recording.take, (path, recording))
    if not takes:
        raise BadInput(
            f"{root}: holds no frames of {acted.title}, such as {acted.example}/00001.jpg; give what prepare_videos.py "
            "made of its videos"
        )
    parts: dict[bool, list[ListedClip]] = {False: [], True: []}
    for path, recording in takes.values():
        label = acted.names.index(recording.emotion)
        clip = ListedClip(place.frames(path), label, path, subject=str(recording.actor))
        parts[fold_of(recording.actor) == fold].append(clip)
    if not (parts[False] and parts[True]):
        raise BadInput(f"{root}: has no clips to {'test' if parts[False] else 'train'} on in fold {fold}; add actors")
    remarks = []
    if again := len(recordings) - len(takes):
        remarks.append(f"{acted.title}: {again} clips are there with sound and without; each counts once")
    lost = {path: why for path, why in left_out.items() if (made := acted.read(path.rpartition("/")[2]))
            and made.take not in takes}  # fmt: skip
    if lost:
        path, why = min(lost.items())
        remarks.append(f"{acted.title}: {len(lost)} videos gave no clip, first {path} ({why}); left out")
    changes = [f"{path}: {why}; left out" for path, why in sorted(lost.items())]
    return DataSet(acted.names, parts[False], parts[True], remarks=tuple(remarks), changes=tuple(changes))
