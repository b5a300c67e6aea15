"""A self-contained HTML page for a timeline, which loads and sends nothing."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image
from torch import Tensor

from dfer.atomic_files import whole_file
from dfer.video.annotated_video import annotated_picture
from dfer.video.face_series import Room, Series, read_room
from dfer.video.report_parts import (
    bars,
    full_band,
    heading,
    hues,
    notices,
    picture,
    player,
    reading,
    reading_of_a_still,
    sections,
    warning,
    weights_table,
)
from dfer.video.timeline import CLEAR_LEAD, Timeline
from dfer.video.timeline_files import relative_address

TEMPLATE = Path(__file__).with_name("report_page.html")
MOST_THUMBNAILS, THUMBNAIL_SIDE = 24, 72
# The longer side of a still, in pixels.
MOST_STILL = 1600


class _Page(Template):
    """Placeholders are %%{name}, since the page's script uses the dollar sign."""

    delimiter = "%%"


def write_report(path: Path, timeline: Timeline, *, video: Path | None, pictures: bool) -> None:
    """Write the page atomically, with a player for `video`; for a still, with the picture and bars.

    pictures: whether the page may show the still. Raises BadInput if the file cannot be written.
    """
    room = read_room(timeline)
    template = TEMPLATE.read_text(encoding="utf-8")
    if timeline.still:
        shown = picture(_address(annotated_picture(timeline), MOST_STILL, "PNG")) if pictures else ""
        parts = {"main": shown, "beside": bars(timeline), "reading": reading_of_a_still(timeline)}
    else:
        # The relative URL works if both are moved together, the absolute one if only the page is moved.
        addresses = [] if video is None else [relative_address(video, path.parent), video.resolve().as_uri()]
        parts = {"main": sections(timeline, room), "beside": player(addresses), "reading": reading(timeline)}
    page = _Page(template).substitute(
        parts,
        policy=_policy(template, plays=video is not None),
        kind="still" if timeline.still else "film",
        title=escape(timeline.video.name),
        warning=warning(timeline.facts),
        heading=heading(timeline, room),
        notices=notices(timeline.facts),
        weights=weights_table(timeline.facts),
        data=_for_script(_data(timeline, room)),
    )
    with whole_file(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="replace")


def _policy(template: str, *, plays: bool) -> str:
    """A content security policy that allows the page's own script and style, by their digests, and nothing else."""
    allowed = {}
    for tag in ("script", "style"):
        found = re.search(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        allowed[f"{tag}-src"] = f"'sha256-{digest}'"
    if plays:
        allowed["media-src"] = "'self' file:"
    rules = {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"} | allowed
    return "; ".join(f"{rule} {value}" for rule, value in rules.items())


def _for_script(data: Any) -> str:
    """JSON that cannot close its script element."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _data(timeline: Timeline, room: Room) -> dict[str, Any]:
    """Data for the page's script; the series are in the order of its sections."""
    series = [
        {
            "name": f"Face {number}",
            "all": False,
            "top": 1,
            "stretches": _stretches(face),
            "thumbnails": _thumbnails(timeline.thumbnails.get(number, ())),
        }
        for number, face in (room.faces.items() if not timeline.still else ())
    ]
    if len(series) > 1:
        together = _stretches(room.together)
        series.insert(
            0, {"name": "All faces", "all": True, "top": full_band(room), "stretches": together, "thumbnails": []}
        )
    return {
        "duration": round(timeline.duration, 3),
        "classes": timeline.facts.classes,
        "hues": hues(timeline.facts.classes),
        "lead": CLEAR_LEAD,
        "series": series,
    }


def _stretches(series: Series) -> list[dict[str, Any]]:
    """Values in thousandths, since digits make up most of the page."""
    return [
        {
            "end": round(stretch.end, 3),
            "starts": [round(start, 3) for start in stretch.starts],
            "values": [[round(1000 * value) for value in row] for row in stretch.means()],
        }
        for stretch in series.stretches
    ]


def _thumbnails(pictures: Sequence[tuple[float, Tensor]]) -> list[dict[str, Any]]:
    step = max(1, -(-len(pictures) // MOST_THUMBNAILS))
    images = ((time, Image.fromarray(face.permute(1, 2, 0).contiguous().numpy())) for time, face in pictures[::step])
    return [{"time": round(time, 3), "picture": _address(image, THUMBNAIL_SIDE)} for time, image in images]


def _address(image: Image.Image, most: int, kind: str = "JPEG") -> str:
    image.thumbnail((most, most))
    file = BytesIO()
    image.save(file, kind, quality=80)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(file.getvalue()).decode()
