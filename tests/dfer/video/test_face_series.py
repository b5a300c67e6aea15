"""Points and totals of the report against plain sums over the rows."""

from dataclasses import replace
from itertools import pairwise

import pytest

from dfer.video.face_series import MOST_POINTS, read_room
from dfer.video.timeline import Row, Timeline, is_uncertain
from helpers.timelines import made_timeline


def rows_of(timeline: Timeline, face: int) -> list[Row]:
    return [row for row in timeline.rows if row.face_id == face]


def test_short_video_keeps_every_frame() -> None:
    timeline = made_timeline({1: [(0, 9)]}, duration=9)
    (stretch,) = read_room(timeline).faces[1].stretches
    rows = rows_of(timeline, 1)
    assert stretch.starts == [row.timestamp for row in rows]
    for mean, row in zip(stretch.means(), rows, strict=True):
        assert mean == pytest.approx(row.probabilities)
    assert stretch.end == pytest.approx(9)


def test_long_video_keeps_means_over_equal_parts() -> None:
    timeline = made_timeline({1: [(0, 3600)]}, duration=3600, fps=4)
    (stretch,) = read_room(timeline).faces[1].stretches
    parts: dict[int, list[Row]] = {}
    for row in rows_of(timeline, 1):
        parts.setdefault(int(row.timestamp * MOST_POINTS / 3600), []).append(row)
    assert len(stretch.starts) == len(parts) == MOST_POINTS
    for mean, rows in zip(stretch.means(), parts.values(), strict=True):
        columns = zip(*(row.probabilities or () for row in rows), strict=True)
        assert mean == pytest.approx([sum(column) / len(rows) for column in columns])


def test_intermittent_face_has_a_bounded_number_of_points() -> None:
    flicker = [(2.0 * second, 2.0 * second + 0.5) for second in range(1500)]
    face = read_room(made_timeline({1: flicker}, duration=3000, fps=2)).faces[1]
    assert sum(len(stretch.starts) for stretch in face.stretches) <= MOST_POINTS
    assert face.seconds == pytest.approx(1500 * 0.5)


def test_missed_frame_is_a_gap() -> None:
    timeline = made_timeline({1: [(0, 2)], 2: [(0, 4)]}, duration=4, fps=10)
    rows = [row for row in timeline.rows if (row.frame, row.face_id) != (7, 1)]
    before, after = read_room(replace(timeline, rows=rows)).faces[1].stretches
    assert (before.starts[0], before.end) == (0, pytest.approx(0.7))
    assert (after.starts[0], after.end) == (pytest.approx(0.8), pytest.approx(2.0))


def test_gap_shorter_than_a_bin_is_closed() -> None:
    timeline = made_timeline({1: [(0, 3600)], 2: [(0, 3600)]}, duration=3600, fps=4)
    rows = [row for row in timeline.rows if (row.frame, row.face_id) != (7, 1)]
    face = read_room(replace(timeline, rows=rows)).faces[1]
    assert len(face.stretches) == 1
    assert face.seconds == pytest.approx(3600 - 0.25)


def test_rows_without_face_or_probabilities_count_as_not_seen() -> None:
    timeline = made_timeline({1: [(0, 4)]}, duration=4, fps=2)
    silent = {2: {"probabilities": None}, 5: {"success": False}}
    rows = [replace(row, **silent.get(row.frame, {})) for row in timeline.rows]
    face = read_room(replace(timeline, rows=rows)).faces[1]
    assert face.seconds == pytest.approx(3)
    assert [(s.starts[0], s.end) for s in face.stretches] == [(0, 1), (1.5, 2.5), (3, 4)]


def test_seconds_by_class_follow_time_stamps_without_uncertain_frames() -> None:
    timeline = made_timeline({1: [(0, 20)], 2: [(4, 9)]})
    uneven = [replace(row, timestamp=row.timestamp * (20 + row.timestamp) / 40) for row in timeline.rows]
    room = read_room(replace(timeline, rows=uneven))
    times = [*sorted({row.timestamp for row in uneven}), 20.0]
    lasts = {start: end - start for start, end in pairwise(times)}
    for number, face in room.faces.items():
        rows = [row for row in uneven if row.face_id == number]
        for index in range(7):
            clear = [r for r in rows if r.probabilities and not is_uncertain(r.probabilities)]
            own = [r for r in clear if r.probabilities and max(r.probabilities) == r.probabilities[index]]
            assert face.by_class[index] == pytest.approx(sum(lasts[row.timestamp] for row in own))
        assert face.uncertain > 0
        assert face.seconds == pytest.approx(face.uncertain + sum(face.by_class))
        assert face.seconds == pytest.approx(sum(lasts[row.timestamp] for row in rows))
    both = zip(room.faces[1].by_class, room.faces[2].by_class, strict=True)
    assert room.by_class(7) == pytest.approx([one + two for one, two in both])
    assert room.uncertain == pytest.approx(room.faces[1].uncertain + room.faces[2].uncertain)


def test_totals_sum_the_probabilities_of_all_faces() -> None:
    timeline = made_timeline({1: [(0, 3)], 2: [(2, 5)]}, duration=8, fps=5)
    room = read_room(timeline)
    (stretch,) = room.together.stretches
    for start, counted in zip(stretch.starts, stretch.means(), strict=True):
        rows = [row for row in timeline.rows if row.timestamp == start and row.probabilities]
        sums = [sum(values) for values in zip(*(row.probabilities or () for row in rows), strict=True)] or [0.0] * 7
        unsure = sum(is_uncertain(row.probabilities) for row in rows if row.probabilities)
        assert counted == pytest.approx([*sums, unsure])
    assert room.most_at_once == 2
    assert room.seconds_with_faces == pytest.approx(5)


def test_video_without_faces_or_frames_has_empty_totals() -> None:
    for frames in (10, 0):
        room = read_room(made_timeline({}, duration=float(frames), fps=1))
        assert not room.faces
        assert (room.seconds_with_faces, room.most_at_once) == (0, 0)
