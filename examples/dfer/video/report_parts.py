"""Text and tables of the report page as HTML; all outside text is escaped here."""

import math
from collections.abc import Sequence
from html import escape

from dfer.training.settings import chosen_on
from dfer.training.trained_file import TrainedFacts
from dfer.video.face_series import MOST_POINTS, Room
from dfer.video.notice import LAW, NOT_MEASURED, WHAT_IT_IS, headline, people_tested_on, trained_on_drawings
from dfer.video.timeline import CLEAR_LEAD, Timeline, is_uncertain

# Colours that colour-blind people can distinguish (P. Tol's bright scheme and an orange), defined in the page's style.
# They may repeat, since each row names its class.
HUES = 7


def hues(classes: Sequence[str]) -> list[str]:
    """The style of each class: hue0, hue1, ..., and `grey` for neutral.

    >>> hues(("happy", "Neutral", "sad"))
    ['hue0', 'grey', 'hue1']
    """
    coloured = iter(range(len(classes)))
    return ["grey" if name.lower() == "neutral" else f"hue{next(coloured) % HUES}" for name in classes]


def clock(seconds: float) -> str:
    """Format seconds.

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
    size = f"{timeline.width} x {timeline.height} pixels"
    rate = f", {timeline.fps:.4g} frames/s" if timeline.fps else ""
    facts = f"{size}, {faces} found" if timeline.still else f"{clock(timeline.duration)}, {size}{rate}, {faces} found"
    problem = f'<p class="problem">Problem: {escape(timeline.problem)}</p>' if timeline.problem else ""
    return f"<h1>{escape(timeline.video.name)}</h1>\n<p>{escape(facts)}</p>\n{problem}"


def warning(facts: TrainedFacts) -> str:
    """The first line of the page if the weights were trained on drawings."""
    return f'<p class="warning">{escape(headline(facts))}</p>' if trained_on_drawings(facts) else ""


def notices(facts: TrainedFacts) -> str:
    known = () if trained_on_drawings(facts) else (headline(facts),)
    return f"<p><strong>{escape(WHAT_IT_IS)}</strong></p>\n" + paragraphs(*known, NOT_MEASURED, LAW)


def picture(address: str) -> str:
    return f'<img class="annotated" src="{escape(address)}" alt="The picture, with a box and a label on each face">'


def bars(timeline: Timeline) -> str:
    """The probabilities of all classes for each face of a still, highest first."""
    classes, parts = timeline.facts.classes, []
    for row in timeline.rows:
        if row.face_id is None or row.probabilities is None:
            continue
        unsure = "<p>Uncertain: the two most probable classes are close.</p>" if is_uncertain(row.probabilities) else ""
        ordered = sorted(zip(row.probabilities, classes, hues(classes), strict=True), reverse=True)
        items = "".join(
            f'<li><span>{escape(name)}</span><svg class="{hue}" viewBox="0 0 100 10" preserveAspectRatio="none">'
            f'<rect class="band" width="{100 * share:.1f}" height="10"/></svg><b>{share:.0%}</b></li>'
            for share, name, hue in ordered
        )
        parts.append(
            f'<section class="face"><h2>Face {row.face_id}</h2>{unsure}<ul class="bars">{items}</ul></section>'
        )
    return "\n".join(parts) or paragraphs("No face was found in this picture.")


def full_band(room: Room) -> int:
    """Number of faces for the full height of a band in the plot of all faces."""
    return max(1, math.ceil(max(max(row) for stretch in room.together.stretches for row in stretch.means()) - 1e-6))


def sections(timeline: Timeline, room: Room) -> str:
    """One section per face; one for all faces if there are several."""
    facts, faces = timeline.facts, room.faces
    if not faces:
        return paragraphs("No face was found in this video.")
    parts = [
        "<noscript><p>The plots need this page's script, which your browser does not run. The tables work without it."
        "</p></noscript>"
    ]
    if len(faces) > 1:
        seen = (
            f"A face in view for {clock(room.seconds_with_faces)} of {clock(timeline.duration)}; "
            f"at most {room.most_at_once} at once. Each band shows the number of faces, as the sum of their "
            f"probabilities; a full band is {full_band(room)}."
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
    """A table with one row per class; the page's script draws into the cell that spans them."""
    rows, tested_on = [], people_tested_on(facts)
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
            f"<td>{_share(own, seconds)}</td>"
            + (f"<td>{'&ndash;' if recall is None else f'{recall:.0%}'}</td>" if tested_on else "")
            + "</tr>"
        )
    last = "<td></td>" if tested_on else ""
    rows.append(
        f'<tr><th scope="row"><i class="unsure"></i>uncertain</th><td>{_share(uncertain, seconds)}</td>{last}</tr>'
    )
    recall_heading = f'<th scope="col">recall on {escape(tested_on.partition(",")[0])}</th>' if tested_on else ""
    return (
        f'<section class="face"><h2>{title}</h2><p>{escape(seen)}</p><table>'
        '<thead><tr><th></th><td class="strip"><div class="thumbnails"></div><svg class="best"></svg></td>'
        f'<th scope="col">share of time</th>{recall_heading}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody><tfoot><tr><td></td><td class="axis"></td><td></td>{last}</tr></tfoot>'
        "</table></section>"
    )


def _share(own: float, seconds: float) -> str:
    return f"{own / seconds:.0%}" if seconds else "0%"


def reading(timeline: Timeline) -> str:
    """Explanation of the figures."""
    frames, tested_on = timeline.facts.frames, people_tested_on(timeline.facts)
    recalls = (
        f"Recall: the share of the test clips of {tested_on} with this class that the network recognised; a dash if "
        "there was no such clip."
        if tested_on
        else "No recalls are shown, since these weights were not tested on videos of people."
    )
    return paragraphs(
        "For each analysed frame, the network estimates the probability of each class from that frame and up to "
        f"{frames - 1} earlier ones. The height of a band is the probability of its class. The bar above the bands "
        "shows the most probable class.",
        f"Uncertain: the most probable class leads the second by less than {CLEAR_LEAD:.2f}. The bar is thin there, "
        "and the time counts towards no class.",
        "Hatched: the face was not found. A face that is found counts as seen until the next analysed frame.",
        "Share of time: relative to the time in which the face was seen.",
        recalls,
        f"A plot has at most {MOST_POINTS:,} points per face. In a video with more frames, each point is the mean over "
        f"one of {MOST_POINTS:,} equal parts of the video, and shorter gaps are not drawn.",
    )


def reading_of_a_still(timeline: Timeline) -> str:
    frames = timeline.facts.frames
    return paragraphs(
        f"The network was trained on clips of {frames} frames; here it saw one picture. The length of a bar is the "
        "probability of its class.",
        f"Uncertain: the most probable class leads the second by less than {CLEAR_LEAD:.2f}.",
    )


def weights_table(facts: TrainedFacts) -> str:
    """The facts in the weights file."""
    numbers = [", ".join(f"{value:g}" for value in values) for values in (facts.mean, facts.std)]
    settings = ", ".join(f"{name} {value}" for name, value in facts.net.items())
    rows = {
        "Trained on": facts.trained_on,
        # Unknown for a classifier in an ONNX file.
        **({"Epoch": f"{facts.epoch}, {chosen_on(facts.epoch_selected_on)}"} if facts.epoch else {}),
        "Network": settings,
        "Input": f"{facts.frames} frames of {facts.size} x {facts.size} pixels",
        "Normalisation": f"mean {numbers[0]}; standard deviation {numbers[1]}",
    }
    tested_on = people_tested_on(facts)
    if tested_on is not None:
        rows["Tested on"] = tested_on
        rows["Test clips"] = f"UAR {facts.uar:.1%} (mean of the recalls), WAR {facts.war:.1%} (accuracy)"
        for name, recall in zip(facts.classes, facts.recall, strict=True):
            rows[f"Recall of {name}"] = "no test clip" if recall is None else f"{recall:.1%}"
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows.items()) + "</dl>"


def player(addresses: Sequence[str]) -> str:
    """A player for the first address that works."""
    sources = "".join(f'<source src="{escape(address)}">' for address in addresses)
    return f'<video controls playsinline preload="metadata">{sources}</video>' if addresses else ""
