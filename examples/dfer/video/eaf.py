"""A timeline as ELAN annotations: one tier a face, one annotation for each stretch of one displayed expression."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, groupby, pairwise
from pathlib import Path
from xml.etree import ElementTree

from dfer.atomic_files import whole_file
from dfer.video.notice import notice
from dfer.video.outputs import relative_address
from dfer.video.timeline import Row, Timeline, label_of

KIND = "displayed expression"


@dataclass
class Stretch:
    """One label of one face, from a time to a time, in seconds."""

    face_id: int
    label: str
    start: float
    end: float


def stretches(rows: Iterable[Row], classes: Sequence[str], duration: float) -> list[Stretch]:
    """The stretches in which a face is seen without a break under one label, by the time at which they begin.

    Each frame lasts until the next one, the last until `duration`. Where the two best classes are close the label is
    "uncertain".
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


# What XML cannot hold in any form, and half characters.
_NO_TEXT = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")


def write_eaf(path: Path, timeline: Timeline) -> None:
    """The file opens in ELAN 6 and in whatever reads EAF 3.0. BadInput: it cannot be written."""
    seen = stretches(timeline.rows, timeline.facts.classes, timeline.duration)
    found = [stretch for stretch in seen if _span(stretch)[0] < _span(stretch)[1]]  # ELAN knows no shorter ones
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
    if timeline.video.is_file():  # and no camera
        # ELAN tries the relative one where the folder of both files was moved.
        media = {
            "MEDIA_URL": timeline.video.resolve().as_uri(),
            "MIME_TYPE": "video/*",
            "RELATIVE_MEDIA_URL": f"./{relative_address(timeline.video, path.parent)}",
        }
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    ElementTree.SubElement(header, "PROPERTY", {"NAME": "notice"}).text = _text(" ".join(notice(timeline.facts)))
    spans = [_span(stretch) for stretch in found]
    # Two slots for each annotation, even where times are equal: whoever moves one in ELAN moves no other.
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
