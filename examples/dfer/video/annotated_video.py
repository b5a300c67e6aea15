"""A copy of the video with a box, a label and a probability bar for each face."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
import numpy as np
from av import AudioFrame, AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.progress import track
from dfer.video.notice import notice
from dfer.video.pictures import open_reader
from dfer.video.reading import Frame, Reader, open_file
from dfer.video.timeline import Row, Timeline, label_of

# By face number, cyclic: distinct for the usual forms of colour blindness (Okabe and Ito).
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
CLOCK = Fraction(1, 90_000)
# In pixels: labels would hide the faces of smaller pictures.
SMALL = 240


def write_annotated(path: Path, timeline: Timeline) -> None:
    """Write an upright MP4 with square pixels and the frame rate, length and sound of the source.

    A source whose shorter side has less than SMALL pixels is enlarged to twice its size. Boxes and labels stay until
    the next analysed frame. Frames of another size are resized to the first one's. Raises BadInput if the file cannot
    be written.
    """
    try:
        with whole_file(path) as beside, av.open(f"file:{beside}", "w", format="mp4") as output:
            _write(output, timeline)
    except FFmpegError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); leave out --video") from None


def _write(output: OutputContainer, timeline: Timeline) -> None:
    reader = open_reader(timeline.video)
    # The codec halves the colour resolution, so sides must be even.
    larger = _enlargement(timeline.width, timeline.height)
    width, height = (max(2, larger * side // 2 * 2) for side in (timeline.width, timeline.height))
    output.metadata["comment"] = " ".join(notice(timeline.facts))
    stream = output.add_stream("libx264", rate=_rate(timeline.fps), options={"preset": "veryfast"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = CLOCK
    with Sound(timeline.video, output) as sound:
        for frame, end, rows in track(_with_rows(reader, timeline), "annotating", reader.stated_frames()):
            picture = av.VideoFrame.from_ndarray(_annotated(frame.pixels, rows, timeline, (width, height)), "rgb24")
            picture.time_base, picture.pts = CLOCK, round(frame.time / CLOCK)
            picture.duration = round((end - frame.time) / CLOCK)
            output.mux(stream.encode(picture))
            sound.write_until(end)
        output.mux(stream.encode(None))
        sound.write_until()


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001) if 0 < fps <= 240 else Fraction(25)


def _with_rows(reader: Reader, timeline: Timeline) -> Iterator[tuple[Frame, float, Sequence[Row]]]:
    """Yield each frame with the time of the next one and the rows of the last analysed frame."""
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


def write_annotated_picture(path: Path, timeline: Timeline) -> None:
    """Write a still picture as PNG. Raises BadInput if it cannot be written."""
    with whole_file(path) as beside:
        annotated_picture(timeline).save(beside, "PNG")


def annotated_picture(timeline: Timeline) -> Image.Image:
    """The first frame with its boxes and labels."""
    frame = next(iter(open_reader(timeline.video).frames()))
    return annotate(frame.pixels, [row for row in timeline.rows if row.frame == 0], timeline.facts.classes)


def annotate(pixels: Tensor, rows: Sequence[Row], classes: Sequence[str]) -> Image.Image:
    picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    larger = _enlargement(picture.width, picture.height)
    picture = picture.resize((larger * picture.width, larger * picture.height)) if larger > 1 else picture
    draw_faces(picture, rows, classes, larger)
    return picture


def _enlargement(width: int, height: int) -> int:
    return 2 if min(width, height) < SMALL else 1


def _annotated(pixels: Tensor, rows: Sequence[Row], timeline: Timeline, size: tuple[int, int]) -> np.ndarray:
    picture = annotate(pixels, rows, timeline.facts.classes)
    if picture.width - size[0] not in (0, 1) or picture.height - size[1] not in (0, 1):
        picture = picture.resize(size)
    return np.asarray(picture)[: size[1], : size[0]]


def draw_faces(picture: Image.Image, rows: Sequence[Row], classes: Sequence[str], scale: int = 1) -> None:
    """Draw in place, for each face, its box, number and label and a bar for its probability.

    scale: pixels of the picture per pixel of the rows.
    """
    draw = ImageDraw.Draw(picture)
    text = max(11, picture.height // 28)
    line, font = max(2, text // 7), ImageFont.load_default(text)
    for row in rows:
        if row.box is None or row.probabilities is None or row.face_id is None:
            continue
        left, top, width, height = (scale * side for side in row.box)
        colour = COLOURS[(row.face_id - 1) % len(COLOURS)]
        draw.rectangle((left, top, left + width, top + height), outline=colour, width=line)
        label = f"{row.face_id} {label_of(row.probabilities, classes)}"
        # Above the box, or inside it at the top of the picture.
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


# Codecs that players support in MP4.
KEPT = ("aac", "mp3", "opus", "flac", "ac3", "eac3")


class Sound:
    """Copies the first sound stream of a file, or encodes it as AAC if MP4 does not support its codec.

    Must be created before anything is written to the output. Missing or damaged sound is skipped.
    """

    def __init__(self, source: Path, output: OutputContainer) -> None:
        self._source, self._output = open_file(source), output
        self._packets: Iterator[Packet[Any]] = iter(())
        streams = self._source.streams.audio
        if streams and streams[0].codec_context is not None:
            self._packets = self._prepare(streams[0])
        self._next = next(self._packets, None)

    def __enter__(self) -> Sound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()

    def write_until(self, time: float = math.inf) -> None:
        """Write the sound before `time`, in seconds of the source; by default all that is left."""
        while (packet := self._next) is not None and float((packet.dts or 0) * packet.time_base) < time:
            self._output.mux(packet)
            self._next = next(self._packets, None)

    def _prepare(self, stream: AudioStream) -> Iterator[Packet[Any]]:
        if stream.codec_context.codec.canonical_name in KEPT:
            copy = self._output.add_stream_from_template(stream)
            return self._copied(stream, copy)
        rate = stream.codec_context.sample_rate
        known = av.Codec("aac", "w").audio_rates or ()
        encoder = self._output.add_stream("aac", rate=rate if rate in known else 48_000)
        return self._encoded(stream, encoder)

    def _copied(self, stream: AudioStream, copy: AudioStream) -> Iterator[Packet[Any]]:
        for packet in self._read(stream):
            packet.stream = copy
            yield packet

    def _encoded(self, stream: AudioStream, encoder: AudioStream) -> Iterator[Packet[Any]]:
        for packet in self._read(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue
            for frame in frames:
                yield from encoder.encode(cast(AudioFrame, frame))
        yield from encoder.encode(None)

    def _read(self, stream: AudioStream) -> Iterator[Packet[Any]]:
        """Yield the packets, with times relative to the start of the file."""
        start = (self._source.start_time or 0) / av.time_base
        packets = self._source.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError):
                return
            if packet is None:
                return
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue  # the empty last packet
            offset = round(start / packet.time_base)
            packet.dts, packet.pts = packet.dts - offset, packet.pts - offset
            yield packet
