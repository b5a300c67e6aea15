"""One run of recognise.py: write rows as they come, then all other outputs."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.progress import track
from dfer.training.trained_file import TrainedFacts
from dfer.video.camera import Camera, Live
from dfer.video.reading import Reader, UnreadableVideo
from dfer.video.recogniser import Recognised, Recogniser
from dfer.video.stopwatch import Stopwatch
from dfer.video.timeline import Timeline
from dfer.video.timeline_files import RowFile, RowWriter, write_json

# In bytes: file systems allow 255, and unfinished files have the process id before their names.
LONGEST_NAME = 255 - len(".4194304-.faces.mp4")


@dataclass(frozen=True)
class Outputs:
    """Output files of one source; None if not requested."""

    table: Path
    page: Path
    scores: Path | None
    annotations: Path | None
    annotated: Path | None
    is_first_run: bool
    """Whether the folder was empty or missing before."""

    def all(self) -> list[Path]:
        every = (self.table, self.page, self.scores, self.annotations, self.annotated)
        return [path for path in every if path is not None]


def plan_outputs(
    folder: Path, name: str, *, scores: bool, annotations: bool, annotated: str | None, overwrite: bool
) -> Outputs:
    """Choose the output files and make `folder`. Raises BadInput if a file exists or the folder cannot be made.

    name: of the source with its suffix, so that a.mov and a.mp4 have separate outputs. annotated: suffix of the
    annotated video or picture.
    """
    name = _shortened(name)
    outputs = Outputs(
        folder / f"{name}.csv",
        folder / f"{name}.html",
        folder / f"{name}.json" if scores else None,
        folder / f"{name}.eaf" if annotations else None,
        folder / f"{name}.faces{annotated}" if annotated else None,
        is_first_run=not folder.is_dir() or not any(folder.iterdir()),
    )
    for path in outputs.all():
        if path.exists() and not overwrite:
            raise BadInput(f"{path} exists; add --overwrite, or choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: cannot be created ({error.strerror}); choose another folder") from None
    return outputs


def _shortened(name: str) -> str:
    """Shorten a name to leave room for the longest suffix; a hash keeps shortened names distinct."""
    encoded = os.fsencode(name)
    if len(encoded) <= LONGEST_NAME:
        return name
    # Drop a character that is cut in the middle.
    kept = encoded[: LONGEST_NAME - 9].decode(errors="ignore")
    return f"{kept}~{hashlib.sha256(encoded).hexdigest()[:8]}"


def refuse_source(source: Path) -> None:
    """Raise BadInput unless the source is a file, which can be read twice."""
    if not source.is_file():
        what = "no such file" if not source.exists() else "a folder" if source.is_dir() else "a pipe or device"
        raise BadInput(f"{source}: {what}; expected a video or picture file")


# In seconds. Browsers disagree on times in videos whose own clock starts later.
LATEST_START = 0.1


def record(
    name: Path, source: Reader | Camera, recogniser: Recogniser, facts: TrainedFacts, table: Path
) -> tuple[Timeline, list[str]]:
    """Write the rows to `table`; return the timeline, which reads them from there, and lines to print.

    KeyboardInterrupt ends a camera's timeline normally; with a file nothing is kept. Raises BadInput if the source
    cannot be read or the table cannot be written.
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
    analysed = recogniser.rows(source, found)
    if isinstance(source, Reader):
        frames = source.stated_frames()
        analysed = track(analysed, "analysing", frames and -(-frames // recogniser.settings.every))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = RowWriter(file, classes)
        try:
            for rows in analysed:
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
        yield f"the file is damaged, and the timeline covers the readable part: {timeline.problem}"
    if found.changed_size:
        where = ", ".join(map(str, found.changed_size))
        yield f"the frame size changes at frame {where}; faces get new numbers from there on"


def write_others(
    outputs: Outputs, timeline: Timeline, source: Reader | Camera, stopwatch: Stopwatch, *, pictures: bool
) -> Iterator[str]:
    """Write all outputs but the table; yield lines to print about them.

    pictures: whether faces may be shown. Raises BadInput if a file cannot be written.
    """
    from dfer.video.annotated_video import write_annotated, write_annotated_picture
    from dfer.video.report import write_report
    from dfer.video.timeline_files import write_eaf

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
        late = f"the page has no player, since the video's clock starts at {source.start:.1f} s"
        yield f"{late}; --video writes a copy that starts at 0"
        video = None
    if video == timeline.video and not source.plays:
        video = None
    with stopwatch.stage("write"):
        write_report(outputs.page, timeline, video=video, pictures=pictures)
    shows_faces = pictures and (timeline.thumbnails or timeline.still)
    remark = " (shows faces; --no-thumbnails leaves them out)" if shows_faces else ""
    for path in outputs.all():
        yield f"{path}{remark if path == outputs.page else ''}"
