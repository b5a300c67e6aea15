"""A timeline as CSV, under the column names of OpenFace where it has them, and as JSON."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from dfer.atomic_files import whole_file
from dfer.video.notice import notice, people_tested_on
from dfer.video.timeline import LANDMARKS, Row, Timeline

# Then one column a class, under its name. OpenFace's face_id 0 stands in the rows of frames without a face.
COLUMNS = (
    *("frame", "face_id", "timestamp", "confidence", "success", "box_x", "box_y", "box_w", "box_h"),
    *(f"{point}_{axis}" for point in LANDMARKS for axis in "xy"),
    "roll",
)


class RowWriter:
    """Writes rows to an open file as they come; in the end that is a file for RowFile."""

    def __init__(self, file: TextIO, classes: Sequence[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow((*COLUMNS, *classes))
        self._empty = [""] * (len(COLUMNS) - 5 + len(classes))

    def write(self, row: Row) -> None:
        start = [row.frame, row.face_id or 0, f"{row.timestamp:.3f}", f"{row.confidence:.3f}", int(row.success)]
        if row.box is None or row.points is None or row.probabilities is None:
            self._writer.writerow(start + self._empty)
            return
        box = (f"{x:.1f}" for x in row.box)
        points = (f"{x:.2f}" for point in row.points for x in point)
        self._writer.writerow((*start, *box, *points, f"{row.roll:.1f}", *(f"{p:.4f}" for p in row.probabilities)))


class RowFile:
    """The rows of such a file, read from disk each time they are iterated."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Row]:
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            next(reader)
            for frame, face, time, confidence, success, *values in reader:
                seen = success == "1"
                numbers = [float(value) for value in values] if seen else []
                places = numbers[4 : len(COLUMNS) - 6]
                yield Row(
                    frame=int(frame),
                    face_id=int(face) if seen else None,
                    timestamp=float(time),
                    confidence=float(confidence),
                    success=seen,
                    box=(numbers[0], numbers[1], numbers[2], numbers[3]) if seen else None,
                    points=tuple(zip(places[::2], places[1::2], strict=True)) if seen else None,
                    probabilities=tuple(numbers[len(COLUMNS) - 5 :]) if seen else None,
                )


def write_json(path: Path, timeline: Timeline) -> None:
    """One object: facts about the file, and under "faces" one object a face and frame, on a line of its own.

    Frames without a face have none. BadInput: it cannot be written.
    """
    facts = timeline.facts
    head: dict[str, Any] = {
        "video": timeline.video.name,
        "duration": round(timeline.duration, 3),
        "fps": round(timeline.fps, 3) or None,
        "width": timeline.width,
        "height": timeline.height,
        "problem": timeline.problem,
        "classes": facts.classes,
        "weights": {"trained_on": facts.trained_on, "people_tested_on": people_tested_on(facts)},
        "notice": notice(facts),
    }
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "faces": [')
        before = "\n"
        for row in timeline.rows:
            if row.face_id is not None:
                file.write(before + json.dumps(_face(row, facts.classes)))
                before = ",\n"
        file.write("\n]}\n")


def _face(row: Row, classes: Sequence[str]) -> dict[str, Any]:
    assert row.box is not None
    assert row.points is not None
    assert row.roll is not None
    assert row.probabilities is not None
    return {
        "frame": row.frame,
        "face_id": row.face_id,
        "timestamp": row.timestamp,
        "confidence": row.confidence,
        "box": row.box,
        "landmarks": dict(zip(LANDMARKS, row.points, strict=True)),
        "roll": round(row.roll, 1),
        "scores": dict(zip(classes, row.probabilities, strict=True)),
    }
