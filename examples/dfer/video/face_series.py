"""A timeline in bounded memory: a limited number of points per face, and its seconds by class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from dfer.video.timeline import Row, Timeline, is_uncertain

MOST_POINTS = 2000
# The shortest duration of a frame, in seconds.
SHORTEST = 1e-3


@dataclass
class Stretch:
    """A time span without gaps: the starts of its points, their mean values, and the end of the last one."""

    end: float
    starts: list[float] = field(default_factory=list)
    _sums: list[list[float]] = field(default_factory=list, init=False)
    _seconds: list[float] = field(default_factory=list, init=False)
    _last_bin: int = field(default=-1, init=False)

    def add(self, start: float, end: float, values: Sequence[float], bin_number: int) -> None:
        if bin_number != self._last_bin:
            self._last_bin = bin_number
            self.starts.append(start)
            self._sums.append([0.0] * len(values))
            self._seconds.append(0.0)
        self._sums[-1] = [total + (end - start) * value for total, value in zip(self._sums[-1], values, strict=True)]
        self._seconds[-1] += end - start
        self.end = end

    def means(self) -> list[list[float]]:
        """One row per point: the mean of its frames, weighted by their durations."""
        return [[value / s for value in total] for total, s in zip(self._sums, self._seconds, strict=True)]


@dataclass
class Series:
    """Values over time, averaged in each of MOST_POINTS equal bins; gaps shorter than a bin are closed."""

    bin_width: float
    stretches: list[Stretch] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, start: float, end: float, values: Sequence[float]) -> None:
        bin_number = min(int(start / self.bin_width), MOST_POINTS - 1)
        if not self.stretches or start - self.stretches[-1].end >= self.bin_width:
            self.stretches.append(Stretch(end))
        self.stretches[-1].add(start, end, values, bin_number)
        self.seconds += end - start


@dataclass
class FaceSeries(Series):
    """Probabilities of one face, and the seconds for which each class was the most probable."""

    by_class: list[float] = field(default_factory=list)
    uncertain: float = 0.0

    def add(self, start: float, end: float, values: Sequence[float]) -> None:
        super().add(start, end, values)
        self.by_class = self.by_class or [0.0] * len(values)
        if is_uncertain(values):
            self.uncertain += end - start
        else:
            self.by_class[values.index(max(values))] += end - start


@dataclass(frozen=True)
class Room:
    """All faces of a video. `together` holds summed probabilities by class, then the number of uncertain faces."""

    faces: dict[int, FaceSeries]
    together: Series
    seconds_with_faces: float
    most_at_once: int

    @property
    def face_seconds(self) -> float:
        return sum(face.seconds for face in self.faces.values())

    def by_class(self, classes: int) -> list[float]:
        return [sum(face.by_class[index] for face in self.faces.values()) for index in range(classes)]

    @property
    def uncertain(self) -> float:
        return sum(face.uncertain for face in self.faces.values())


def read_room(timeline: Timeline) -> Room:
    """Read all rows once. A face counts as seen until the next analysed frame."""
    width = max(timeline.duration, SHORTEST) / MOST_POINTS
    faces: dict[int, FaceSeries] = {}
    together, seconds, most = Series(width), 0.0, 0
    for start, end, rows in _spans(timeline):
        values = [0.0] * (len(timeline.facts.classes) + 1)
        count = 0
        for row in rows:
            if row.face_id is None or row.probabilities is None or not row.success:
                continue
            count += 1
            faces.setdefault(row.face_id, FaceSeries(width)).add(start, end, row.probabilities)
            own = (*row.probabilities, float(is_uncertain(row.probabilities)))
            values = [total + value for total, value in zip(values, own, strict=True)]
        together.add(start, end, values)
        most = max(most, count)
        seconds += end - start if count else 0.0
    return Room(dict(sorted(faces.items())), together, seconds, most)


def _spans(timeline: Timeline) -> Iterator[tuple[float, float, list[Row]]]:
    """Start, end and rows of each analysed frame; the last one ends with the video."""
    waiting: list[Row] = []
    for _, group in groupby(timeline.rows, lambda row: row.frame):
        rows = list(group)
        if waiting:
            yield waiting[0].timestamp, max(rows[0].timestamp, waiting[0].timestamp + SHORTEST), waiting
        waiting = rows
    if waiting:
        yield waiting[0].timestamp, max(timeline.duration, waiting[0].timestamp + SHORTEST), waiting
