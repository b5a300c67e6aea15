"""Detection and interpolation of faces, with cuts, exits and changes of size."""

from collections.abc import Sequence

import pytest
from torch import Tensor

from dfer.video.faces import FaceDetector
from dfer.video.stopwatch import Stopwatch
from dfer.video.watching import RUN_FRAMES, WHOLE_LOOKS, Watched, Watcher
from helpers.composed import Film, crowd
from helpers.identities import agreement
from helpers.stand_in_detector import Places, StandInDetector, numbered, paint

Found = list[dict[int, tuple[float, ...]]]


def watch(
    places: Sequence[Places],
    frames: Sequence[Tensor] | None = None,
    *,
    detect_every: int = 5,
    live: bool = False,
    step: int = 1,
    rate: float = 25.0,
) -> tuple[list[Watched], StandInDetector, Watcher]:
    frames = [paint(now) for now in places] if frames is None else frames
    detector = StandInDetector(list(zip(places, frames, strict=True)))
    watcher = Watcher(detector, 32, detect_every, Stopwatch())  # type: ignore[arg-type]
    source = numbered(frames, rate, step)
    runs = list(watcher.one_by_one(source) if live else watcher.in_runs(source))
    assert all(len(run) <= RUN_FRAMES + WHOLE_LOOKS * detect_every for run in runs)
    return [frame for run in runs for frame in run], detector, watcher


def corners(watched: Sequence[Watched]) -> list[dict[int, tuple[float, float]]]:
    return [{f.face_id: (round(float(f.box[0]), 3), round(float(f.box[1]), 3)) for f in w.faces} for w in watched]


def test_boxes_are_interpolated_between_detections() -> None:
    places = [{1: (2.0 * n, 10.0), 2: (100.0 - n, 50.0)} for n in range(41)]
    watched, detector, _ = watch(places)
    assert corners(watched) == places
    # The whole frame at 0, 13, 26, 39 and 40, and once more before the speed of the faces is known; each of the two is
    # refined in between.
    assert (sum(detector.looked), detector.refined) == (6, 12)
    for frame in watched:
        assert [face.confidence for face in frame.faces] == [pytest.approx(0.9)] * 2
        for face in frame.faces:
            # Cut out at the right position, the patch is the same in every frame.
            difference = face.aligned.float() - watched[0].faces[face.face_id - 1].aligned.float()
            assert difference.abs().mean() < 12


def test_last_frame_is_always_searched() -> None:
    places = [{1: (2.0 * n, 10.0)} for n in range(8)]
    watched, detector, _ = watch(places)
    assert (corners(watched), sum(detector.looked)) == (places, 2)


def test_frames_are_searched_until_entry_and_exit_are_found() -> None:
    places = [{1: (10.0, 10.0)} | ({2: (90.0, 40.0)} if 8 <= n < 17 else {}) for n in range(26)]
    watched, detector, _ = watch(places)
    assert corners(watched) == places
    assert sum(detector.looked) < 16


def test_face_that_reverses_between_detections_is_followed() -> None:
    places = [{1: (20 + 3.0 * min(n, 13 - n) if n < 14 else 20.0, 10.0)} for n in range(20)]
    watched, detector, _ = watch(places, detect_every=1)
    assert corners(watched) == places
    assert sum(detector.looked) < 10


@pytest.mark.parametrize("away", [range(6, 9), range(1, 12), range(5, 6)])
def test_face_absent_between_detections_is_not_interpolated(away: range) -> None:
    places: list[Places] = [{} if n in away else {1: (30.0, 20.0)} for n in range(14)]
    watched, _, _ = watch(places, detect_every=1)
    assert corners(watched) == places


def test_cut_gives_new_numbers_from_its_first_frame() -> None:
    places: list[Places] = [{1: (30.0, 20.0)}] * 12 + [{1: (30.0, 20.0)}] * 9
    frames = [paint(now, background=40) for now in places[:12]] + [paint(now).flip(1) for now in places[12:]]
    for now in frames[12:]:
        now[:, 20:52, 30:62] = frames[0][:, 20:52, 30:62]
    watched, _, _ = watch(places, frames)
    assert [[face.face_id for face in frame.faces] for frame in watched] == [[1]] * 12 + [[2]] * 9


def test_change_of_size_gives_new_numbers_and_is_reported() -> None:
    places: list[Places] = [{1: (30.0, 20.0)}] * 14
    frames = [paint(now) for now in places[:7]] + [paint(now, 120, 200) for now in places[7:]]
    for live in (False, True):
        watched, _, watcher = watch(places, frames, live=live)
        assert [[face.face_id for face in frame.faces] for frame in watched] == [[1]] * 7 + [[2]] * 7
        assert watcher.changed_size == [7]


def test_camera_keeps_a_face_where_it_was_last_seen() -> None:
    places = [{1: (2.0 * n, 10.0)} for n in range(12)]
    watched, detector, _ = watch(places, live=True)
    assert [place[1][0] for place in corners(watched)] == [0.0] * 5 + [10.0] * 5 + [20.0] * 2
    assert sum(detector.looked) == 3


@pytest.mark.parametrize(("step", "looked"), [(2, 4), (5, 5), (7, 4)])
def test_detection_interval_counts_skipped_frames(step: int, looked: int) -> None:
    places = [{1: (2.0 * n, 10.0)} for n in range(30)]
    watched, detector, _ = watch(places, step=step)
    assert (corners(watched), sum(detector.looked)) == (places[::step], looked)


def test_faces_are_carried_for_half_a_second_at_most() -> None:
    places = [{1: (2.0 * n, 10.0)} for n in range(10)]
    _, detector, _ = watch(places, rate=2.0)
    assert sum(detector.looked) == 10


def test_source_without_frames_yields_nothing() -> None:
    assert watch([])[0] == []


@pytest.fixture(scope="module")
def film() -> Film:
    return crowd()


@pytest.mark.parametrize("live", [False, True])
def test_crowd_keeps_its_numbers(film: Film, live: bool) -> None:
    """Real detection in a film of five people: two cross, one leaves and comes back within a second, and a cut."""
    watcher = Watcher(FaceDetector(), 112, 5, Stopwatch())
    source = numbered(list(film.frames), 24)
    runs = watcher.one_by_one(source) if live else watcher.in_runs(source)
    found: list[dict[int, tuple[float, float, float, float]]] = []
    for frame in (frame for run in runs for frame in run):
        boxes = {face.face_id: face.box.tolist() for face in frame.faces}
        found.append({n: (left, top, right - left, bottom - top) for n, (left, top, right, bottom) in boxes.items()})
    score = agreement(film.truth, found, film.cuts)
    name = "camera" if live else "file"
    print(f"\n{name}: {score}")
    assert (score.switches, score.shared) == (0, 0)
    assert max(max(faces, default=0) for faces in found) == 7
    # Partly hidden faces are not always found; with a camera, a face is found only at the next detection.
    assert score.missed < (0.12 if live else 0.03) * score.people
    assert score.extra < (0.08 if live else 0.005) * score.people


def test_tracking_score_counts_switches_and_shared_numbers() -> None:
    truth = [{0: (50.0, 50.0), 1: (150.0, 50.0)}] * 4
    left, right = (30.0, 30.0, 40.0, 40.0), (130.0, 30.0, 40.0, 40.0)
    steady = agreement(truth, [{1: left, 2: right}] * 4)
    assert (steady.switches, steady.shared, steady.missed, steady.extra, steady.people) == (0, 0, 0, 0, 8)
    swapped = agreement(truth, [{1: left, 2: right}] * 2 + [{2: left, 1: right}] * 2)
    assert (swapped.switches, swapped.shared) == (2, 2)
    new = agreement(truth, [{1: left, 2: right}] * 2 + [{3: left}] * 2)
    assert (new.switches, new.shared, new.missed) == (1, 0, 2)
    assert agreement(truth, [{1: left, 2: right}] * 2 + [{3: left, 4: right}] * 2, cuts=[2]).switches == 0
    assert agreement(truth, [{1: left, 2: right, 3: (0.0, 0.0, 5.0, 5.0)}] * 4).extra == 4
