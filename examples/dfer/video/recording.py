"""The recogniser over one source: rows to disk as they come, then the timeline and whatever is made of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dfer.atomic_files import whole_file
from dfer.bad_input import BadInput
from dfer.training.trained_file import TrainedFacts
from dfer.video.camera import Camera
from dfer.video.live import Live
from dfer.video.outputs import Outputs
from dfer.video.reading import Reader, UnreadableVideo
from dfer.video.recogniser import Recognised, Recogniser
from dfer.video.stopwatch import Stopwatch
from dfer.video.timeline import Timeline
from dfer.video.timeline_files import RowFile, RowWriter, write_json

# In seconds. Browsers do not agree on the time in a video whose own clock starts later.
LATEST_START = 0.1


def record(
    name: Path, source: Reader | Camera, recogniser: Recogniser, facts: TrainedFacts, table: Path
) -> tuple[Timeline, list[str]]:
    """Write the rows to `table`; return the timeline that reads them there, and lines for a person who will use it.

    A camera is watched until KeyboardInterrupt; of a file nothing is left then. Raises BadInput where the source cannot
    be read, or the table cannot be written.
    """
    found = Recognised()
    try:
        with whole_file(table) as beside:
            _write_rows(beside, recogniser, source, found, facts.classes)
    except UnreadableVideo as error:
        raise BadInput(f"{name}: {error}") from None
    timeline = Timeline(
        video=name,
        duration=source.duration,
        fps=0.0 if source.is_variable else source.fps,
        still=source.still,
        width=found.size[0],
        height=found.size[1],
        rows=RowFile(table),
        facts=facts,
        thumbnails=found.thumbnails.by_face,
        problem=source.problem,
    )
    return timeline, list(_in_words(found, timeline))


def _write_rows(
    path: Path, recogniser: Recogniser, source: Reader | Camera, found: Recognised, classes: Sequence[str]
) -> None:
    live = Live(classes) if isinstance(source, Camera) else None
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = RowWriter(file, classes)
        try:
            for rows in recogniser.rows(source, found):
                with recogniser.stopwatch.stage("write"):
                    for row in rows:
                        writer.write(row)
                    if live is not None:
                        live.show(rows)
        except KeyboardInterrupt:
            if live is None or not found.frames:
                raise


def _in_words(found: Recognised, timeline: Timeline) -> Iterator[str]:
    faces = f"{found.faces} face" + "s" * (found.faces > 1)
    frames = "one picture" if timeline.still else f"{found.frames} frame" + "s" * (found.frames != 1)
    yield f"{frames} analysed, {faces}" if found.faces else f"no face in {frames}"
    if timeline.problem:
        yield f"the timeline holds what could be read: {timeline.problem}"
    if found.changed_size:
        where = ", ".join(map(str, found.changed_size))
        yield f"the picture's size changes at frame {where}: the numbers of faces are new from there on"


def write_others(
    outputs: Outputs, timeline: Timeline, source: Reader | Camera, stopwatch: Stopwatch, *, pictures: bool
) -> Iterator[str]:
    """Write all but the table; give lines that name every file and say what else a person should know of them.

    pictures: whether faces may be shown. BadInput: a file cannot be written.
    """
    from dfer.video.annotated_video import write_annotated, write_annotated_picture
    from dfer.video.eaf import write_eaf
    from dfer.video.report import write_report

    video = timeline.video if isinstance(source, Reader) and not source.still and pictures else None
    with stopwatch.stage("write"):
        if outputs.scores is not None:
            write_json(outputs.scores, timeline)
        if outputs.annotations is not None:
            write_eaf(outputs.annotations, timeline)
    with stopwatch.stage("video"):
        if outputs.annotated is not None and timeline.still:
            write_annotated_picture(outputs.annotated, timeline)
        elif outputs.annotated is not None:
            write_annotated(outputs.annotated, timeline)
            video = outputs.annotated
    if video == timeline.video and source.start > LATEST_START:
        late = f"the page is without the video, whose own clock starts at {source.start:.1f} s"
        yield f"{late}; --video makes one that fits"
        video = None
    if video == timeline.video and not source.plays:
        video = None
    with stopwatch.stage("write"):
        write_report(outputs.page, timeline, video=video, pictures=pictures)
    shows_faces = pictures and (timeline.thumbnails or timeline.still)
    remark = " (with pictures of faces; --no-thumbnails leaves them out)" if shows_faces else ""
    for path in outputs.all():
        yield f"{path}{remark if path == outputs.page else ''}"
