"""The video once more, with a box about each face, its displayed expression and a bar for the probability."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.video.notice import notice
from dfer.video.reading import Frame, VideoReader
from dfer.video.sound import Sound
from dfer.video.timeline import Row, Timeline, label_of

# A face's colour goes by its number; they are far apart for all usual forms of colour blindness (Okabe and Ito).
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
CLOCK = Fraction(1, 90_000)


def write_annotated(path: Path, timeline: Timeline) -> None:
    """An MP4 with the frame rate, the length and the sound of the source, upright and with square pixels.

    Boxes and labels stay until the next frame that was analysed. Where the source changes its size, the frames are
    brought to the first one's. BadInput: it cannot be written.
    """
    try:
        with whole_file(path) as beside, av.open(f"file:{beside}", "w", format="mp4") as output:
            _write(output, timeline)
    except FFmpegError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); leave out --video") from None


def _write(output: OutputContainer, timeline: Timeline) -> None:
    reader = VideoReader(timeline.video)
    # The codec halves the resolution of colour: sides are even.
    width, height = max(2, timeline.width // 2 * 2), max(2, timeline.height // 2 * 2)
    output.metadata["comment"] = " ".join(notice(timeline.facts))
    stream = output.add_stream("libx264", rate=_rate(timeline.fps), options={"preset": "veryfast"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = CLOCK
    with Sound(timeline.video, output) as sound:
        for frame, end, rows in _with_rows(reader, timeline):
            picture = av.VideoFrame.from_ndarray(_annotated(frame.pixels, rows, timeline, (width, height)), "rgb24")
            picture.time_base, picture.pts = CLOCK, round(frame.time / CLOCK)
            picture.duration = round((end - frame.time) / CLOCK)
            output.mux(stream.encode(picture))
            sound.write_until(end)
        output.mux(stream.encode(None))
        sound.write_until()


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001) if 0 < fps <= 240 else Fraction(25)


def _with_rows(reader: VideoReader, timeline: Timeline) -> Iterator[tuple[Frame, float, Sequence[Row]]]:
    """Each frame of the file with the time of the next one, and with the rows of the last one that was analysed."""
    analysed = groupby(timeline.rows, key=lambda row: row.frame)
    number, coming = next(((n, list(rows)) for n, rows in analysed), (-1, []))
    rows: Sequence[Row] = ()
    before: tuple[Frame, Sequence[Row]] | None = None
    for here, frame in reader.numbered():
        if here == number:
            rows = coming
            number, coming = next(((n, list(rows)) for n, rows in analysed), (-1, []))
        if before is not None:
            yield before[0], frame.time, before[1]
        before = frame, rows
    if before is not None:
        yield before[0], reader.duration, before[1]


def _annotated(pixels: Tensor, rows: Sequence[Row], timeline: Timeline, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    draw_faces(picture, rows, timeline.facts.classes)
    if picture.width - size[0] not in (0, 1) or picture.height - size[1] not in (0, 1):
        picture = picture.resize(size)
    return np.asarray(picture)[: size[1], : size[0]]


def draw_faces(picture: Image.Image, rows: Sequence[Row], classes: Sequence[str]) -> None:
    """On the picture, in place: for each face its box, its number and label, and a bar as long as it is probable."""
    draw = ImageDraw.Draw(picture)
    text = max(11, picture.height // 28)
    line, font = max(2, text // 7), ImageFont.load_default(text)
    for row in rows:
        if row.box is None or row.probabilities is None or row.face_id is None:
            continue
        left, top, width, height = row.box
        colour = COLOURS[(row.face_id - 1) % len(COLOURS)]
        draw.rectangle((left, top, left + width, top + height), outline=colour, width=line)
        label = f"{row.face_id} {label_of(row.probabilities, classes)}"
        # Above the box, or inside it at the picture's upper edge.
        bar, spare = text // 2, text // 4
        high = text + bar + 2 * spare
        upper = top - high if top >= high else top
        length = max(width, draw.textlength(label, font=font) + 2 * spare)
        left = max(0.0, min(left, picture.width - length))
        draw.rectangle((left, upper, left + length, upper + high - 1), fill="#000000")
        draw.text((left + spare, upper), label, font=font, fill="#FFFFFF")
        full = left + spare, upper + high - spare - bar // 2, left + length - spare, upper + high - spare
        share = (full[2] - full[0]) * max(row.probabilities)
        draw.rectangle(full, fill="#444444")
        draw.rectangle((full[0], full[1], full[0] + share, full[3]), fill=colour)
