"""RAVDESS and CREMA-D are read from the names of their files."""

from pathlib import Path

import pytest

from dfer.data.acted import ACTED, CREMA_D_NAMES, RAVDESS_NAMES, read_acted
from dfer.data.data_set import DataSet
from dfer.data.packing import open_place, pack
from dfer.data.parts import run_data
from dfer.errors import BadInput
from helpers.made_data import numbered, write_frames

OPTIONS = {"size": 24, "frames": 2, "per_segment": 1, "select_on": "validation", "seed": 0}


def write_ravdess(root: Path, actors: int = 24) -> None:
    for actor in range(1, actors + 1):
        for emotion in range(1, 9):
            for number, modality in enumerate(("01", "02") if emotion == 3 else ("02",)):
                folder = root / f"Actor_{actor:02}/{modality}-01-{emotion:02}-01-02-01-{actor:02}"
                write_frames(folder, numbered(3, "{:05}.jpg"), first=actor + 30 * emotion + number)


def write_crema_d(root: Path, actors: int = 10) -> None:
    for actor in range(1001, 1001 + actors):
        for code in CREMA_D_NAMES:
            write_frames(root / f"{actor}_DFA_{code}_XX", numbered(2, "{:05}.jpg"), first=actor)


def read(name: str, root: Path, fold: int) -> DataSet:
    return read_acted(ACTED[name], root, open_place(root), fold)


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("02-01-06-01-02-01-12", "fear"),
        ("01-01-02-02-01-02-24", "calm"),
        ("01-02-05-01-01-01-07", "angry"),
        ("03-01-06-01-02-01-12", None),
        ("02-01-09-01-02-01-12", None),
        ("02-01-06-01-02-01", None),
        ("notes", None),
    ],
)
def test_ravdess_names_give_emotion_and_actor(name: str, emotion: str | None) -> None:
    recording = ACTED["ravdess"].read(name)
    assert (recording and recording.emotion) == emotion
    assert recording is None or recording.actor == int(name[-2:])


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("1001_DFA_ANG_XX", "angry"),
        ("1091_IEO_HAP_HI", "happy"),
        ("1040_ITH_SAD_X", "sad"),
        ("1001_DFA_CAL_XX", None),
        ("2001_DFA_ANG_XX", None),
    ],
)
def test_crema_d_names_give_emotion_and_actor(name: str, emotion: str | None) -> None:
    recording = ACTED["crema_d"].read(name)
    assert (recording and recording.emotion) == emotion
    assert recording is None or recording.actor == int(name[:4])


@pytest.mark.parametrize("packed", [False, True])
def test_recording_with_and_without_sound_counts_once(tmp_path: Path, packed: bool) -> None:
    root = tmp_path / "faces"
    write_ravdess(root)
    write_frames(root / "Actor_01/03-01-03-01-02-01-01", numbered(3))
    if packed:
        pack(root, tmp_path / "store", 24)
        root = tmp_path / "store"
    data = read("ravdess", root, 1)
    assert len(data.training) + len(data.test) == 24 * 8
    assert data.names == RAVDESS_NAMES
    assert data.remarks == ["RAVDESS: 24 clips exist with and without sound; each counts once"]
    for clip in (*data.training, *data.test):
        name = str(clip.frames).rpartition("/")[2].split("-")
        assert (clip.label, clip.subject) == (int(name[2]) - 1, str(int(name[6])))
        assert name[0] == ("01" if name[2] == "03" else "02")


@pytest.mark.parametrize(("name", "write"), [("ravdess", write_ravdess), ("crema_d", write_crema_d)])
def test_every_actor_is_tested_once_and_never_in_two_parts(tmp_path: Path, name: str, write: object) -> None:
    assert callable(write)
    write(tmp_path)
    tested: list[str] = []
    for fold in range(1, 6):
        data = read(name, tmp_path, fold)
        run = run_data(data, **OPTIONS)  # type: ignore[arg-type]
        actors = {
            part: {clip.subject for clip in source.clips}  # type: ignore[attr-defined]
            for part, source in run.parts.items()
        }
        assert not actors["training"] & actors["validation"]
        assert not actors["test"] & (actors["training"] | actors["validation"])
        assert {clip.label for clip in data.test} == set(range(len(data.names)))
        tested += actors["test"]
    assert len(tested) == len(set(tested)) == (24 if name == "ravdess" else 10)


def test_fold_of_an_actor_does_not_depend_on_other_actors(tmp_path: Path) -> None:
    write_crema_d(tmp_path)
    whole = {clip.subject for clip in read("crema_d", tmp_path, 2).test}
    for folder in tmp_path.glob("1001_*"):
        folder.rename(tmp_path / f".{folder.name}")
    assert {clip.subject for clip in read("crema_d", tmp_path, 2).test} == whole


def test_videos_without_a_face_are_reported_unless_their_take_has_frames(tmp_path: Path) -> None:
    write_ravdess(tmp_path, actors=5)
    for name in ("01-01-01-01-02-01-02", "02-01-01-01-02-02-02"):
        (tmp_path / f"Actor_02/{name}.json").write_text('{"status": "no face"}')
    data = read("ravdess", tmp_path, 1)
    assert data.remarks[-1] == (
        "RAVDESS: no frames from prepare_videos.py for 1 of 41 takes, first Actor_02/02-01-01-01-02-02-02 (no face); "
        "left out"
    )
    (change,) = data.changes
    assert str(change) == (
        f"{tmp_path}: Actor_02/02-01-01-01-02-02-02 (no face): no frames from prepare_videos.py; left out"
    )


def test_bad_input(tmp_path: Path) -> None:
    (tmp_path / "Actor_01").mkdir()
    (tmp_path / "Actor_01/02-01-06-01-02-01-01.mp4").touch()
    with pytest.raises(
        BadInput, match=r"no frames of RAVDESS found, such as Actor_12/.*give the folder that prepare_videos\.py"
    ):
        read("ravdess", tmp_path, 1)
    with pytest.raises(BadInput, match="RAVDESS has the folds 1 to 5; got 6"):
        read("ravdess", tmp_path, 6)
    write_ravdess(tmp_path, actors=1)
    with pytest.raises(BadInput, match="has no clips to train on in fold 1; add actors"):
        read("ravdess", tmp_path, 1)
