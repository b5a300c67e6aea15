"""A timeline as CSV, under the column names of OpenFace where it has them, written row by row and read again."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from dfer.video.timeline import Row

# Then one column a class, under its name. OpenFace's face_id 0 stands in the rows of frames without a face.
COLUMNS = ("frame", "face_id", "timestamp", "confidence", "success", "box_x", "box_y", "box_w", "box_h")


class RowWriter:
    """Writes rows to an open file as they come; in the end that is a file for RowFile."""

    def __init__(self, file: TextIO, classes: Sequence[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow((*COLUMNS, *classes))
        self._empty = [""] * (4 + len(classes))

    def write(self, row: Row) -> None:
        start = [row.frame, row.face_id or 0, f"{row.timestamp:.3f}", f"{row.confidence:.3f}", int(row.success)]
        if row.box is None or row.probabilities is None:
            self._writer.writerow(start + self._empty)
        else:
            box, probabilities = (f"{x:.1f}" for x in row.box), (f"{p:.4f}" for p in row.probabilities)
            self._writer.writerow((*start, *box, *probabilities))


class RowFile:
    """The rows of such a file, read from disk each time they are iterated."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Row]:
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            next(reader)
            for frame, face, time, confidence, success, x, y, w, h, *probabilities in reader:
                seen = success == "1"
                yield Row(
                    frame=int(frame),
                    face_id=int(face) if seen else None,
                    timestamp=float(time),
                    confidence=float(confidence),
                    success=seen,
                    box=(float(x), float(y), float(w), float(h)) if seen else None,
                    probabilities=tuple(map(float, probabilities)) if seen else None,
                )
