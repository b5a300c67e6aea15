"""A timeline as CSV with OpenFace's column names, as JSON, and as EAF for ELAN."""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote
from xml.etree import ElementTree

from dfer.atomic_files import whole_file
from dfer.video.notice import notice, people_tested_on
from dfer.video.timeline import LANDMARKS, Row, Timeline, label_of

# Followed by one column per class. As in OpenFace, face_id 0 marks a frame without faces.
COLUMNS = (
    *("frame", "face_id", "timestamp", "confidence", "success", "box_x", "box_y", "box_w", "box_h"),
    *(f"{point}_{axis}" for point in LANDMARKS for axis in "xy"),
    "roll",
)


class RowWriter:
    """Writes rows to an open CSV file that RowFile reads."""

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
    """The rows of a CSV file, read from disk at each iteration."""

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
    """Write facts about the source, and under "faces" one object per face and frame, each on its own line.

    Raises BadInput if the file cannot be written.
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


KIND = "displayed expression"


@dataclass
class Stretch:
    """One label of one face, from start to end in seconds."""

    face_id: int
    label: str
    start: float
    end: float


def stretches(rows: Iterable[Row], classes: Sequence[str], duration: float) -> list[Stretch]:
    """Uninterrupted stretches of one face with one label, ordered by start.

    Each frame lasts until the next one, the last one until `duration`. The label is "uncertain" if the two best classes
    are close.
    """
    found: list[Stretch] = []
    latest: dict[int, Stretch] = {}
    frames = (list(group) for _, group in groupby(rows, key=lambda row: row.frame))
    for frame, after in pairwise(chain(frames, [None])):
        assert frame is not None
        start = frame[0].timestamp
        end = max(duration, start) if after is None else after[0].timestamp
        for row in frame:
            if row.face_id is None or row.probabilities is None:
                continue
            label = label_of(row.probabilities, classes)
            last = latest.get(row.face_id)
            if last is None or last.label != label or last.end < start:
                last = latest[row.face_id] = Stretch(row.face_id, label, start, end)
                found.append(last)
            last.end = end
    return found


# Characters that XML does not allow, and lone surrogates.
_NO_TEXT = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")


def write_eaf(path: Path, timeline: Timeline) -> None:
    """Write an EAF 3.0 file for ELAN. Raises BadInput if it cannot be written."""
    seen = stretches(timeline.rows, timeline.facts.classes, timeline.duration)
    # ELAN does not allow empty annotations.
    found = [stretch for stretch in seen if _span(stretch)[0] < _span(stretch)[1]]
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if timeline.video.is_file():  # not for a camera
        # ELAN uses the relative URL if both files were moved together.
        media = {
            "MEDIA_URL": timeline.video.resolve().as_uri(),
            "MIME_TYPE": "video/*",
            "RELATIVE_MEDIA_URL": f"./{relative_address(timeline.video, path.parent)}",
        }
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    ElementTree.SubElement(header, "PROPERTY", {"NAME": "notice"}).text = _text(" ".join(notice(timeline.facts)))
    spans = [_span(stretch) for stretch in found]
    # Two slots per annotation, even at equal times, so that moving one in ELAN does not move another.
    ends = sorted((moment, number, side) for number, span in enumerate(spans) for side, moment in enumerate(span))
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots = {}
    for place, (moment, number, side) in enumerate(ends, start=1):
        slots[number, side] = f"ts{place}"
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": f"ts{place}", "TIME_VALUE": str(moment)})
    tiers: dict[int, ElementTree.Element] = {}
    for number, stretch in enumerate(found):
        if stretch.face_id not in tiers:
            naming = {"LINGUISTIC_TYPE_REF": KIND, "TIER_ID": f"face {stretch.face_id}"}
            tiers[stretch.face_id] = ElementTree.SubElement(root, "TIER", naming)
        span = {
            "ANNOTATION_ID": f"a{number + 1}",
            "TIME_SLOT_REF1": slots[number, 0],
            "TIME_SLOT_REF2": slots[number, 1],
        }
        annotation = ElementTree.SubElement(tiers[stretch.face_id], "ANNOTATION")
        value = ElementTree.SubElement(annotation, "ALIGNABLE_ANNOTATION", span)
        ElementTree.SubElement(value, "ANNOTATION_VALUE").text = _text(stretch.label)
    kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": KIND, "TIME_ALIGNABLE": "true"}
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", kind)
    ElementTree.indent(root)
    with whole_file(path) as beside:
        ElementTree.ElementTree(root).write(beside, encoding="UTF-8", xml_declaration=True)


def _span(stretch: Stretch) -> tuple[int, int]:
    """In milliseconds."""
    return round(1000 * stretch.start), round(1000 * stretch.end)


def _text(text: str) -> str:
    return _NO_TEXT.sub("\ufffd", text)


def relative_address(video: Path, folder: Path) -> str:
    """Relative URL of a video from a folder; it stays valid if both are moved together."""
    return quote(os.fsencode(Path(os.path.relpath(video.resolve(), folder.resolve())).as_posix()))
