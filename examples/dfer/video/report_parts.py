"""The parts of the report page that are text and tables, as HTML; whatever comes from outside is escaped here."""

import math
from collections.abc import Sequence
from html import escape

from dfer.training.trained_file import TrainedFacts
from dfer.video.face_series import MOST_POINTS, Room
from dfer.video.notice import LAW, NOT_MEASURED, WHAT_IT_IS, weights_in_words
from dfer.video.timeline import CLEAR_LEAD, Timeline

# Hues that colour-blind people tell apart (P. Tol's bright scheme and one orange) are numbered in the page's style;
# grey is kept for the class that means no expression. Rows carry their class's name, so hues may repeat.
HUES = 7


def hues(classes: Sequence[str]) -> list[str]:
    """The style of each class: hue0, hue1, ..., and `grey` for neutral.

    >>> hues(("happy", "Neutral", "sad"))
    ['hue0', 'grey', 'hue1']
    """
    coloured = iter(range(len(classes)))
    return ["grey" if name.lower() == "neutral" else f"hue{next(coloured) % HUES}" for name in classes]


def clock(seconds: float) -> str:
    """A time or a length of time for people.

    >>> clock(7.25), clock(75), clock(3675)
    ('7.2 s', '1:15', '1:01:15')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def paragraphs(*lines: str) -> str:
    return "\n".join(f"<p>{escape(line)}</p>" for line in lines)


def heading(timeline: Timeline, room: Room) -> str:
    faces = f"{len(room.faces) or 'no'} face{'' if len(room.faces) == 1 else 's'}"
    rate = f", {timeline.fps:.4g} frames/s" if timeline.fps else ""
    facts = f"{clock(timeline.duration)}, {timeline.width} x {timeline.height} pixels{rate}, {faces} found"
    problem = f'<p class="problem">Problem: {escape(timeline.problem)}</p>' if timeline.problem else ""
    return f"<h1>{escape(timeline.video.name)}</h1>\n<p>{escape(facts)}</p>\n{problem}"


def notices(facts: TrainedFacts) -> str:
    return f"<p><strong>{escape(WHAT_IT_IS)}</strong></p>\n" + paragraphs(weights_in_words(facts), NOT_MEASURED, LAW)


def full_band(room: Room) -> float:
    """How many faces fill the height of a band in the drawing of all faces: halves, so that it can be said."""
    values = [max(row) for stretch in room.together.stretches for row in stretch.means()]
    return max(1.0, math.ceil(2 * max(values)) / 2)


def sections(timeline: Timeline, room: Room) -> str:
    """A section for each face, and one for all of them."""
    facts, faces = timeline.facts, room.faces
    if not faces:
        return paragraphs("No face was found in this video.")
    parts = []
    if len(faces) > 1:
        seen = (
            f"A face in view for {clock(room.seconds_with_faces)} of {clock(timeline.duration)}; "
            f"at most {room.most_at_once} at once. Each band shows how many faces, by the sum of their probabilities; "
            f"a full band is {full_band(room):g}."
        )
        by_class = room.by_class(len(facts.classes))
        parts.append(_section("All faces", seen, 0, facts, by_class, room.uncertain, room.face_seconds))
    for place, (number, face) in enumerate(faces.items(), start=int(len(faces) > 1)):
        seen = f"In view for {clock(face.seconds)} of {clock(timeline.duration)}."
        parts.append(_section(f"Face {number}", seen, place, facts, face.by_class, face.uncertain, face.seconds))
    return "\n".join(parts)


def _section(
    title: str, seen: str, place: int, facts: TrainedFacts, by_class: list[float], uncertain: float, seconds: float
) -> str:
    """A table with a row a class; the page's script draws into the cell that all rows share."""
    rows = []
    named = zip(facts.classes, hues(facts.classes), by_class, facts.recall, strict=True)
    for index, (name, hue, own, recall) in enumerate(named):
        drawn = ""
        if index == 0:
            drawn = (
                f'<td class="drawn" rowspan="{len(facts.classes) + 1}"><div class="plot" role="slider" tabindex="0" '
                f'aria-label="{title}: time" aria-valuemin="0" data-series="{place}"><svg></svg>'
                '<i class="cursor"></i><i class="hair"></i></div></td>'
            )
        rows.append(
            f'<tr><th scope="row" title="{escape(name)}"><i class="{hue}"></i>{escape(name)}</th>{drawn}'
            f"<td>{_share(own, seconds)}</td><td>{'&ndash;' if recall is None else f'{recall:.0%}'}</td></tr>"
        )
    rows.append(
        f'<tr><th scope="row"><i class="unsure"></i>uncertain</th><td>{_share(uncertain, seconds)}</td><td></td></tr>'
    )
    return (
        f'<section class="face"><h2>{title}</h2><p>{escape(seen)}</p><table>'
        '<thead><tr><th></th><td class="strip"><div class="thumbnails"></div><svg class="best"></svg></td>'
        '<th scope="col">share of time</th><th scope="col">test recall</th></tr></thead>'
        f'<tbody>{"".join(rows)}</tbody><tfoot><tr><td></td><td class="axis"></td><td></td><td></td></tr></tfoot>'
        "</table></section>"
    )


def _share(own: float, seconds: float) -> str:
    return f"{own / seconds:.0%}" if seconds else "0%"


def reading(timeline: Timeline) -> str:
    """How the figures came about."""
    frames = timeline.facts.frames
    return paragraphs(
        f"The net answers for each analysed frame, from that frame and up to {frames - 1} before it, with a "
        "probability for each class. A band is as high as its class is probable. The bar above the bands shows the "
        "most probable class.",
        f"Uncertain: the most probable class leads the second by less than {CLEAR_LEAD:.2f}. There the bar is thin, "
        "and the time counts for no class.",
        "Hatched: the face was not seen. It counts as seen from each frame in which it was found to the next analysed "
        "frame.",
        "Share of time: of the time in which the face was seen, from every frame. Test recall: of the clips of this "
        "class in the weights' test set, how many were recognised; a dash where there was none.",
        f"The drawing has at most {MOST_POINTS:,} points a face: in a video with more frames, each point is the mean "
        f"of the frames in one of {MOST_POINTS:,} equal parts of the video, and shorter gaps are not drawn.",
    )


def weights_table(facts: TrainedFacts) -> str:
    """What the weights' own file says."""
    numbers = [", ".join(f"{value:g}" for value in values) for values in (facts.mean, facts.std)]
    settings = ", ".join(f"{name} {value}" for name, value in facts.net.items())
    rows = {
        "Trained on": facts.trained_on,
        "Test set": f"UAR {facts.uar:.1%} (mean of the recalls), WAR {facts.war:.1%} (accuracy)",
        "Epoch": f"{facts.epoch}, chosen on the {facts.epoch_selected_on} clips",
        "Net": settings,
        "Input": f"{facts.frames} frames of {facts.size} x {facts.size} pixels",
        "Normalised by": f"mean {numbers[0]}; standard deviation {numbers[1]}",
    } | {
        f"Recall of {name}": "no test clip" if recall is None else f"{recall:.1%}"
        for name, recall in zip(facts.classes, facts.recall, strict=True)
    }
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows.items()) + "</dl>"


def player(video_beside: str | None) -> str:
    """`video_beside` is a path from the page's folder, already fit for an address."""
    if video_beside is None:
        return ""
    return f'<video controls playsinline preload="metadata" src="{escape(video_beside)}"></video>'
