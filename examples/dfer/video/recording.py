"""The recogniser over one source: rows to disk as they come, then the timeline and what to say of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dfer.atomic_files import whole_file
from dfer.training.trained_file import TrainedFacts
from dfer.video.camera import Camera
from dfer.video.live import Live
from dfer.video.reading import Reader
from dfer.video.recogniser import Recognised, Recogniser
from dfer.video.timeline import Timeline
from dfer.video.timeline_csv import RowFile, RowWriter


def record(
    name: Path, source: Reader | Camera, recogniser: Recogniser, facts: TrainedFacts, table: Path
) -> tuple[Timeline, list[str]]:
    """Write the rows to `table`; return the timeline that reads them there, and lines for a person who will use it.

    A camera is watched until KeyboardInterrupt; of a file nothing is left then. Raises UnreadableVideo, and BadInput
    where the table cannot be written.
    """
    found = Recognised()
    with whole_file(table) as beside:
        _write_rows(beside, recogniser, source, found, facts.classes)
    timeline = Timeline(
        video=name,
        duration=source.duration,
        fps=source.fps,
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
    frames = f"{found.frames} frame" + "s" * (found.frames != 1)
    yield f"{frames} analysed, {faces}" if found.faces else f"no face in {frames}"
    if timeline.problem:
        yield f"the timeline holds what could be read: {timeline.problem}"
    if found.changed_size:
        where = ", ".join(map(str, found.changed_size))
        yield f"the picture's size changes at frame {where}: the numbers of faces are new from there on"
