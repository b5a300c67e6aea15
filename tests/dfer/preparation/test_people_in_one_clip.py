"""Videos with several people give clips of one person each. A tint tells the people apart."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dfer.preparation import preparing as preparation
from dfer.preparation.clips import find_clips
from dfer.preparation.preparing import prepare_clip
from dfer.preparation.reports import Report, Settings
from dfer.video.faces import FaceDetector
from helpers.composed import RATE, crowd
from helpers.footage import talking_face
from helpers.videos import write_video

HEIGHT, WIDTH = 200, 560
TINTS = {"red": (1.0, 0.7, 0.7), "green": (0.7, 1.0, 0.7), "blue": (0.7, 0.7, 1.0)}
# Corner of a person's picture, 144 x 176.
PLACES = {"red": (10, 0), "green": (40, 190), "blue": (20, 380)}


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def scene(spans: Mapping[str, tuple[int, int]], frames: int, light: bool = False) -> Tensor:
    """Frames that show each person from one frame to another, before a dark or a light wall."""
    wall = torch.linspace(200, 90, WIDTH) if light else torch.linspace(20, 50, WIDTH)
    pictures = wall.expand(frames, 3, HEIGHT, WIDTH).clone()
    for who, (start, end) in spans.items():
        top, left = PLACES[who]
        person = talking_face()[start:end] * torch.tensor(TINTS[who])[:, None, None]
        pictures[start:end, :, top : top + 144, left : left + 176] = person
    return pictures.byte()


def prepare(path: Path, frames: Tensor, detector: FaceDetector, *, every_face: bool = False) -> Report:
    video = write_video(path / "v.mp4", frames, options={"qp": "10"})
    (clip,) = find_clips(video, path / "out")
    return prepare_clip(clip, detector, Settings(size=64, every_face=every_face))


def people_in(folder: Path) -> list[str]:
    """The person in each picture."""
    pictures = sorted(folder.glob("*.jpg"))
    assert [path.name for path in pictures] == [f"{n + 1:05d}.jpg" for n in range(len(pictures))]
    faces = torch.stack([torch.tensor(np.asarray(Image.open(path)), dtype=torch.float32) for path in pictures])
    own = torch.from_numpy(np.asarray(talking_face()[0].permute(1, 2, 0), dtype=np.float32))[30:110, 40:130].mean(
        (0, 1)
    )
    tints = torch.tensor(list(TINTS.values()))
    seen = faces[:, 16:48, 16:48].mean((1, 2)) / own
    return [
        list(TINTS)[int((colour / colour.norm() * tints / tints.norm(dim=1)[:, None]).sum(1).argmax())]
        for colour in seen
    ]


def test_cut_between_people_gives_a_clip_of_one_person(tmp_path: Path, detector: FaceDetector) -> None:
    frames = torch.cat([scene({"red": (0, 30)}, 30), scene({"blue": (0, 50)}, 50, light=True)])
    report = prepare(tmp_path / "one", frames, detector)
    assert (report.faces, report.at_once, report.cuts, report.several) == (2, 1, 1, 0)
    assert (report.analysed, report.frames, report.found, report.filled) == (80, 50, 50, 0)
    assert people_in(tmp_path / "one" / "out" / "v") == ["blue"] * 50
    assert report.in_words() == "80 frames, face found in 50; 1 other face left out; 1 cut"
    report = prepare(tmp_path / "each", frames, detector, every_face=True)
    assert [(clip.folder, clip.frames) for clip in report.clips] == [("v/face1", 30), ("v/face2", 50)]
    assert [clip.start for clip in report.clips] == [0.0, 1.2]
    assert people_in(tmp_path / "each" / "out" / "v" / "face1") == ["red"] * 30
    assert people_in(tmp_path / "each" / "out" / "v" / "face2") == ["blue"] * 50
    assert sorted(path.name for path in (tmp_path / "each" / "out").iterdir()) == ["v", "v.json"]


def test_brief_false_detection_gives_no_clip(tmp_path: Path, detector: FaceDetector) -> None:
    frames = torch.cat([scene({"red": (0, 40)}, 40), scene({"green": (10, 14)}, 40, light=True)])
    for every_face, folder in ((False, "v"), (True, "v/face1")):
        out = tmp_path / folder
        report = prepare(out, frames, detector, every_face=every_face)
        assert (report.faces, report.frames, report.found, report.filled, report.cuts) == (1, 40, 40, 0, 1)
        assert people_in(out / "out" / folder) == ["red"] * 40


def test_every_face_gives_one_clip_per_person(tmp_path: Path, detector: FaceDetector) -> None:
    frames = scene({"red": (0, 60), "green": (20, 60), "blue": (0, 45)}, 60)
    hidden = slice(30, 36)
    frames[hidden, :, :, PLACES["red"][1] : PLACES["red"][1] + 176] = 30
    report = prepare(tmp_path, frames, detector, every_face=True)
    assert (report.faces, report.at_once, report.cuts) == (3, 3, 0)
    assert report.several >= 55
    counts = {}
    for clip in report.clips:
        (who,) = set(people_in(tmp_path / "out" / clip.folder))
        counts[who] = (clip.frames, clip.filled)
    assert {who: frames for who, (frames, _) in counts.items()} == {"red": 60, "green": 40, "blue": 45}
    assert counts["red"][1] >= 6


def test_crossing_people_and_a_cut_give_clips_of_one_person(
    tmp_path: Path, detector: FaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = crowd()
    centres: dict[Path, list[tuple[int, Tensor]]] = {}
    add = preparation._Track.add

    def noted(track: preparation._Track, number: int, face: preparation.Sighting) -> None:
        centres.setdefault(track.folder, []).append((number, face.box.view(2, 2).mean(0)))
        add(track, number, face)

    monkeypatch.setattr(preparation._Track, "add", noted)
    video = write_video(tmp_path / "crowd.mp4", film.frames, rate=RATE)
    (clip,) = find_clips(video, tmp_path / "out")
    report = prepare_clip(clip, detector, Settings(size=32, every_face=True))
    assert (report.faces, report.cuts) == (7, 1)  # five people, two of them again behind the cut
    for seen in centres.values():
        near = [
            {who for who, place in film.truth[number].items() if float((centre - torch.tensor(place)).norm()) < 45}
            for number, centre in seen
        ]
        assert set.intersection(*(who for who in near if who))
