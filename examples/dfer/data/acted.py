"""RAVDESS and CREMA-D: acted clips that anybody may download; file names give the emotion and the actor."""

import re
from pathlib import Path
from typing import NamedTuple

from dfer.data.data_set import Change, DataSet, ListedClip, Notes
from dfer.data.folders import FolderTree
from dfer.errors import BadInput

FOLDS = (1, 2, 3, 4, 5)


class Recording(NamedTuple):
    """What a file name says; clips with the same `take` show the same pictures."""

    take: str
    emotion: str
    actor: int


class ActedSet(NamedTuple):
    """`pattern` matches the names of a set's videos; `emotions` has the emotion of each code in a name."""

    title: str
    emotions: dict[str, str]
    pattern: str
    example: str

    def read(self, name: str) -> Recording | None:
        match = re.fullmatch(self.pattern, name)
        emotion = self.emotions.get(match["emotion"]) if match else None
        return Recording(match["take"], emotion, int(match["actor"])) if match and emotion else None


RAVDESS_NAMES = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")
CREMA_D_NAMES = {"HAP": "happy", "SAD": "sad", "NEU": "neutral", "ANG": "angry", "DIS": "disgust", "FEA": "fear"}
ACTED = {
    # With sound (1) or without (2), speech or song, emotion, ..., actor.
    "ravdess": ActedSet(
        "RAVDESS",
        {str(number): name for number, name in enumerate(RAVDESS_NAMES, start=1)},
        r"0[12]-(?P<take>0[12]-0(?P<emotion>[1-8])-0[12]-0[12]-0[12]-(?P<actor>\d\d))",
        "Actor_12/02-01-06-01-02-01-12",
    ),
    # Actor, sentence, emotion, level.
    "crema_d": ActedSet(
        "CREMA-D",
        CREMA_D_NAMES,
        r"(?P<take>(?P<actor>1\d{3})_[A-Z]{3}_(?P<emotion>[A-Z]{3})_(LO|MD|HI|XX|X))",
        "1001_DFA_ANG_XX",
    ),
}


def fold_of(actor: int) -> int:
    """Actors are dealt out by number, so that an actor's fold does not depend on who else is there."""
    return (actor - 1) % len(FOLDS) + 1


def read_acted(acted: ActedSet, root: Path, place: FolderTree, fold: int) -> DataSet:
    """Test on the actors of one fold and train on the others; labels are the emotions that the actors intended.

    `place` contains what prepare_videos.py made of the videos, in whatever folders. A take with and without sound
    counts once.
    """
    if fold not in FOLDS:
        raise BadInput(f"{acted.title} has the folds 1 to 5; got {fold}")
    notes, names = Notes([], []), tuple(acted.emotions.values())
    paths, left_out = place.walk()
    recordings = [(path, recording) for path in sorted(paths) if (recording := acted.read(path.rpartition("/")[2]))]
    takes = {recording.take: (path, recording) for path, recording in reversed(recordings)}
    if not takes:
        raise BadInput(
            f"{root}: no frames of {acted.title} found, such as {acted.example}/00001.jpg; give the folder that "
            "prepare_videos.py made of its videos"
        )
    parts: dict[bool, list[ListedClip]] = {False: [], True: []}
    for path, recording in sorted(takes.values()):
        clip = ListedClip(place.frames(path), names.index(recording.emotion), path, str(recording.actor))
        parts[fold_of(recording.actor) == fold].append(clip)
    if not (parts[False] and parts[True]):
        raise BadInput(f"{root}: has no clips to {'test' if parts[False] else 'train'} on in fold {fold}; add actors")
    if again := len(recordings) - len(takes):
        notes.remarks.append(f"{acted.title}: {again} clips exist with and without sound; each counts once")
    for path, why in sorted(left_out.items()):
        lost = acted.read(path.rpartition("/")[2])
        if lost and lost.take not in takes:
            notes.changes.append(Change(str(root), f"{path} ({why})", "no frames from prepare_videos.py; left out"))
    if notes.changes:
        what = f"no frames from prepare_videos.py for {len(notes.changes)} of {len(takes) + len(notes.changes)} takes"
        notes.remarks.append(f"{acted.title}: {what}, first {notes.changes[0].clip}; left out")
    return DataSet(names, parts[False], parts[True], None, *notes)
