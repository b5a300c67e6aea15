"""The sound of one file into another, in step with the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
from av import AudioFrame, AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from dfer.video.reading import open_file

# What players play in an MP4, and what its format can hold without being told more.
KEPT = ("aac", "mp3", "opus", "flac", "ac3", "eac3")


class Sound:
    """The first sound stream of a file: its packets as they are or, where they do not belong in an MP4, as AAC.

    Made before anything is written to the output. A file without sound, or with damaged sound, gives what there is.
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
        """Write what is heard before a time, in seconds of the source; by default the rest."""
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
        """The packets, at times that begin with those of the file's picture."""
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
                continue  # the empty packet behind the last
            offset = round(start / packet.time_base)
            packet.dts, packet.pts = packet.dts - offset, packet.pts - offset
            yield packet
