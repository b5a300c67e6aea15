"""From frames to rows: faces, times, probabilities and memory."""

import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import AGDTNet, AGDTStream, build_agdtnet
from dfer.data.augmentation import prepare
from dfer.errors import BadInput
from dfer.video import recogniser
from dfer.video.alignment import align
from dfer.video.faces import Faces
from dfer.video.reading import Frame
from dfer.video.recogniser import (
    MOST_OF_A_FACE,
    Recognised,
    Recogniser,
    RecognitionSettings,
    in_words,
    recogniser_of,
)
from dfer.video.stopwatch import Stopwatch
from dfer.video.timeline import Row
from dfer.video.watching import RUN_FRAMES, WHOLE_LOOKS
from helpers.made_rows import facts
from helpers.stand_in_detector import SIDE, TEMPLATE, Places, StandInDetector, numbered, paint
from helpers.tiny_runs import TinyNet


class Film:
    """A source of frames with its stand-in detector."""

    def __init__(self, places: list[Places], monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames = [paint(now, light=1 - n / 60) for n, now in enumerate(places)]
        self.detector = StandInDetector(list(zip(places, self.frames, strict=True)))
        monkeypatch.setattr(recogniser, "FaceDetector", lambda: self.detector)

    def numbered(self, step: int = 1) -> Iterator[tuple[int, Frame]]:
        return numbered(self.frames, 25.0, step)


def small_net() -> AGDTNet:
    torch.manual_seed(3)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU())
    net = build_agdtnet(3, num_frames=4, backbone=backbone, temporal="mean").eval()
    with torch.no_grad():
        net.classifier.weight *= 10  # so that the light alone changes the answer
    return net


def run(film: Film, **settings: object) -> tuple[list[Row], Recognised, Recogniser]:
    made = recogniser_of(small_net(), facts(), RecognitionSettings(**settings))
    found = Recognised()
    return [row for rows in made.rows(film, found) for row in rows], found, made


PLACES: list[Places] = [
    ({1: (10.0 + n, 10.0)} if n >= 3 else {}) | ({2: (100.0, 50.0)} if 7 <= n < 25 else {}) for n in range(40)
]


def test_rows_are_ordered_by_frame_and_face_with_box_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, found, _ = run(Film(PLACES, monkeypatch))
    expected = [(n, face) for n, now in enumerate(PLACES) for face in sorted(now) or [None]]
    assert [(row.frame, row.face_id) for row in rows] == expected
    assert (found.frames, found.faces, found.size, found.changed_size) == (40, 2, (160, 96), [])
    for row in rows:
        assert row.timestamp == row.frame / 25
        if row.face_id is None:
            assert (row.success, row.confidence, row.box, row.probabilities) == (False, 0.0, None, None)
        else:
            x, y = PLACES[row.frame][row.face_id]
            assert row.box == pytest.approx((x, y, SIDE, SIDE), abs=1e-3)
            assert row.confidence == pytest.approx(0.9)
            assert row.probabilities is not None
            assert sum(row.probabilities) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("settings", [{}, {"every": 3}, {"in_runs": False, "detect_every": 1}])
def test_probabilities_match_a_stream_of_the_aligned_faces(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, int]
) -> None:
    film = Film(PLACES, monkeypatch)
    rows, _, _ = run(film, **settings)
    aligned: dict[int, list[Tensor]] = defaultdict(list)
    got: dict[int, list[Tensor]] = defaultdict(list)
    for row in rows:
        if row.face_id is not None:
            points = torch.tensor(PLACES[row.frame][row.face_id]) + SIDE * TEMPLATE
            aligned[row.face_id].append(align(film.frames[row.frame][None], points[None], 32)[0])
            got[row.face_id].append(torch.tensor(row.probabilities))
    for face, pictures in aligned.items():
        expected = AGDTStream(small_net(), num_frames=4).push(prepare(torch.stack(pictures)[None]))[0].softmax(-1)
        assert expected.std(0).max() > 0.01
        torch.testing.assert_close(torch.stack(got[face]), expected, atol=2e-3, rtol=0)


def test_state_of_a_lost_face_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[set[int]] = []
    monkeypatch.setattr(recogniser.FaceStreams, "keep_only", lambda self, faces: kept.append(set(faces)))
    run(Film([*PLACES, *[{1: (51.0, 10.0)}] * 20], monkeypatch))
    assert kept[0] == {1, 2}
    assert kept[-1] == {1}


def test_thumbnails_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    _, with_them, _ = run(Film(PLACES, monkeypatch))
    assert {face: [time for time, _ in own] for face, own in with_them.thumbnails.by_face.items()} == {
        1: [0.12, 0.64, 1.16],
        2: [0.28, 0.8],
    }
    assert with_them.thumbnails.by_face[1][0][1].shape == (3, 32, 32)
    _, without, _ = run(Film(PLACES, monkeypatch), thumbnails=False)
    assert without.thumbnails.by_face == {}


class LongFilm:
    """Frames that are created lazily and counted while referenced."""

    def __init__(self, length: int) -> None:
        self.length, self.alive, self.most = length, 0, 0
        self._frame = paint({1: (40.0, 30.0)})

    def numbered(self, step: int = 1) -> Iterator[tuple[int, Frame]]:
        for number in range(self.length):
            pixels = self._frame.clone()
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(pixels, self._gone)
            yield number, Frame(number / 25, pixels)
            del pixels

    def _gone(self) -> None:
        self.alive -= 1

    def detect(self, frames: Sequence[Tensor]) -> list[Faces]:
        return [self.refine(frames[:1], torch.empty(1, 4))] * len(frames)

    def refine(self, frames: Sequence[Tensor], boxes: Tensor) -> Faces:
        corners = torch.tensor([[40.0, 30.0]]).expand(len(boxes), 2)
        points = corners[:, None] + SIDE * TEMPLATE
        return Faces(torch.cat([corners, corners + SIDE], 1), points, torch.ones(len(boxes)))


@pytest.mark.parametrize("in_runs", [True, False])
def test_memory_does_not_grow_with_the_length(monkeypatch: pytest.MonkeyPatch, in_runs: bool) -> None:
    most = []
    for length in (200, 1600):
        film = LongFilm(length)
        monkeypatch.setattr(recogniser, "FaceDetector", lambda film=film: film)
        made, found = recogniser_of(small_net(), facts(), RecognitionSettings(in_runs=in_runs)), Recognised()
        assert sum(len(rows) for rows in made.rows(film, found)) == length
        assert sum(map(len, found.thumbnails.by_face.values())) <= MOST_OF_A_FACE
        most.append(film.most)
    assert most[0] == most[1] <= 2 * (RUN_FRAMES + WHOLE_LOOKS * 5)


def test_time_is_counted_by_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, made = run(Film(PLACES, monkeypatch))
    assert set(made.stopwatch.seconds) == {"decode", "cuts", "detect", "align", "backbone", "temporal"}
    assert all(seconds > 0 for seconds in made.stopwatch.seconds.values())
    stopwatch = Stopwatch()
    stopwatch.seconds.update({"detect": 1.25, "decode": 0.5})
    assert in_words(stopwatch, 10.0, 4.0) == (
        "10.0 s of video in 4.0 s: 2.50 x real time. Seconds by stage: detect 1.2, decode 0.5."
    )
    assert "0.50 x real time, slower than the video" in in_words(stopwatch, 10.0, 20.0)


def test_nested_stages_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr("dfer.video.stopwatch.time.perf_counter", lambda: next(clock))
    stopwatch = Stopwatch()
    with stopwatch.stage("outer"), stopwatch.stage("inner"):
        pass
    assert stopwatch.seconds == {"outer": 5.0, "inner": 2.0}


def test_net_that_cannot_be_streamed_is_refused() -> None:
    with pytest.raises(BadInput, match="got a tiny, which cannot run as a stream"):
        recogniser_of(TinyNet(3, 0.0), facts(net={"model": "tiny"}), RecognitionSettings())
