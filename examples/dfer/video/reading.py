"""Frames out of a video file: upright, each with its time, and whatever can be read of a damaged file."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import torch
from av import VideoFrame, VideoStream
from av.container import InputContainer
from av.error import FFmpegError
from torch import Tensor

from dfer.video.containers import is_mirrored, why_unreadable

# A longer gap between two frames is a broken clock or a cut, not a picture that stands still.
LONGEST_STILL = 10.0


class UnreadableVideo(Exception):
    """Not a single frame can be read from this file; the message says why in one line, without the file's name."""


class Frame(NamedTuple):
    time: float  # seconds from the start of the file, by its time stamps and not by the frame's number
    pixels: Tensor  # (3, H, W) uint8, RGB, upright


def open_file(path: Path) -> InputContainer:
    """A file of this disk, whatever its name: no "12:30 lecture.mp4" is an address, and no playlist loads others."""
    return av.open(f"file:{path}", container_options={"protocol_whitelist": "file"})


class Reader(ABC):
    """Reads a file's pictures; read it again by calling `frames` or `numbered` again.

    fps: the frame rate that the file states (0 if none). frames_read, duration: how many frames the last reading
    decoded, and when the last of them ends, in seconds of the file. start: what the file's own clock, from which
    nothing else here counts, shows at its beginning. still: whether the file is one picture, without a time.
    plays: whether browsers can play it as a video. is_variable: whether the frames are unequally far apart. problem:
    None, or in one line what was damaged or missing; what could be decoded has been given out all the same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fps = 0.0
        self.frames_read = 0
        self.duration = 0.0
        self.start = 0.0
        self.still = False
        self.plays = True
        self.is_variable = False
        self.problem: str | None = None
        self._half_tick = 0.0  # time stamps are rounded to the file's own clock

    def frames(self, every: float | None = None) -> Iterator[Frame]:
        """Every frame; or the frame on the screen at 0, `every`, 2 `every` ... seconds after the first frame's time.

        With an interval, a frame that stays on the screen is given out again for each instant, up to 10 seconds: the
        frames given out are equally far apart in time even where the file's are not. Raises UnreadableVideo.
        """
        if every is None:
            yield from self._decode()
            return
        frames = self._decode()
        shown = next(frames)
        first, number = shown.time, 0
        for frame in frames:
            while (instant := first + number * every) < frame.time - self._half_tick:
                if instant - shown.time > LONGEST_STILL:
                    number = math.ceil((frame.time - first - self._half_tick) / every)
                    break
                yield shown
                number += 1
            shown = frame
        end = min(self.duration, shown.time + LONGEST_STILL)
        while first + number * every < end - self._half_tick:
            yield shown
            number += 1

    def numbered(self, step: int = 1) -> Iterator[tuple[int, Frame]]:
        """Every `step`-th frame with its number from 0; the others cost their decoding only. Raises UnreadableVideo."""
        for taken, frame in enumerate(self._decode(step)):
            yield taken * step, frame

    @abstractmethod
    def _decode(self, step: int = 1) -> Iterator[Frame]: ...


class VideoReader(Reader):
    """Reads a file's first video stream."""

    def _decode(self, step: int = 1) -> Iterator[Frame]:
        self.frames_read, self.duration, self.problem = 0, 0.0, None
        try:
            container = open_file(self.path)
        except (FFmpegError, OSError, ValueError) as error:
            raise UnreadableVideo(why_unreadable(self.path, _reason(error))) from error
        with container:
            # A cover picture in a sound file counts as a video stream, too.
            streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                raise UnreadableVideo("it has no video stream")
            stream = streams[0]
            if stream.codec_context is None:
                raise UnreadableVideo("there is no decoder for its pictures")
            self.fps = float(stream.average_rate or 0)
            usual = 1 / self.fps if self.fps else 0.04
            tick = float(stream.time_base or 0)
            self._half_tick = tick / 2 + 1e-6
            self.start = (container.start_time or 0) / av.time_base
            last = end = 0.0
            damaged, reason = 0, ""
            mirrored = "mp4" in container.format.name and is_mirrored(self.path, stream.id)
            decoding, late, uneven = _Decoding(container, stream), 0, 0
            for frame in decoding:
                if isinstance(frame, Exception):
                    damaged, reason = damaged + 1, reason or _reason(frame)
                    continue
                damaged += frame.is_corrupt
                stamp = frame.pts
                if container.format.name == "avi":
                    # It keeps only when a frame is decoded. Frames leave the decoder in the order of showing, all of
                    # them as late as the first one.
                    if not self.frames_read and frame.dts is not None and decoding.first_key is not None:
                        late = frame.dts - decoding.first_key
                    stamp = None if frame.dts is None else frame.dts - late
                time = end if stamp is None else stamp * tick - self.start
                if self.frames_read and time <= last:  # a stamp that goes back is none
                    time = end
                wanted = self.frames_read % step == 0
                try:
                    pixels = _upright(frame, stream.sample_aspect_ratio, mirrored) if wanted else None
                except (FFmpegError, ValueError) as error:
                    damaged, reason = damaged + 1, reason or _reason(error)
                    continue
                uneven += self.frames_read > 0 and abs(time - last - usual) > 0.2 * usual + tick
                last = time
                end = time + (frame.duration * tick or usual)
                self.frames_read, self.duration = self.frames_read + 1, end
                if pixels is not None:
                    yield Frame(time, pixels)
            if not self.frames_read:
                raise UnreadableVideo(f"no frame could be decoded{': ' + reason if reason else ''}")
            self.is_variable = uneven > 0.1 * self.frames_read
            self.problem = self._what_is_missing(container, stream, damaged, reason, decoding.heard_until)

    def _what_is_missing(
        self, container: InputContainer, stream: VideoStream, damaged: int, reason: str, heard_until: float
    ) -> str | None:
        found = []
        if damaged:
            found.append(f"{damaged} damaged packets or frames" + (f" ({reason})" if reason else ""))
        # Files with edit lists state a few frames more than they show, AVI files the empty ones of their pauses, too.
        read = self.frames_read if container.format.name != "avi" else max(self.frames_read, self.duration * self.fps)
        if read < 0.9 * stream.frames:
            found.append(f"only {self.frames_read} of the {stream.frames} frames that it states")
        end = self.duration
        if stream.duration is not None and stream.time_base is not None:
            stated = float(stream.duration * stream.time_base)
        else:
            # Only the whole file's length is known: some count it from nought, and sound may go on behind the picture.
            stated = (container.duration or 0) / av.time_base
            end = max(end + self.start, heard_until)
        if stated - end > min(0.5, max(0.1, stated / 4)):
            found.append(f"it ends after {end:.2f} s of the {stated:.2f} s that it states")
        return "; ".join(found) or None


class _Decoding:
    """The frames of a stream, and in between the errors that kept others from being decoded.

    first_key: the stamp of decoding of the first key frame that the decoder took. heard_until: where the sound that was
    passed on the way ends, in seconds of the file's own clock.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._stream = stream
        self._packets = container.demux(stream, *container.streams.audio)
        self.first_key: int | None = None
        self.heard_until = 0.0

    def __iter__(self) -> Iterator[VideoFrame | Exception]:
        while True:
            try:
                packet = next(self._packets)
            except StopIteration:
                return
            except (FFmpegError, OSError) as error:
                # The file itself cannot be read on: what the decoder still holds comes next.
                yield error
                packet = None
            # Of the empty packet behind the last, only the stream's own index is right.
            if packet is not None and packet.stream.index != self._stream.index:
                if packet.pts is not None and packet.time_base is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.heard_until = max(self.heard_until, end)
                continue
            try:
                frames = self._stream.codec_context.decode(packet)
            except (FFmpegError, ValueError) as error:
                if not isinstance(error, av.error.EOFError):
                    yield error
            else:
                if self.first_key is None and packet is not None and packet.is_keyframe:
                    self.first_key = packet.dts
                yield from frames
            if packet is None:
                return


def _upright(frame: VideoFrame, pixel_aspect: Fraction | None, mirrored: bool) -> Tensor:
    # Pixels that are not square are made so; a ratio beyond reason is an error in the file.
    aspect = float(pixel_aspect or 1)
    width = round(frame.width * aspect) if 0.25 <= aspect <= 4 else frame.width
    pixels = torch.from_numpy(frame.to_ndarray(format="rgb24", width=width, height=frame.height)).permute(2, 0, 1)
    # FFmpeg's angle of a matrix that mirrors is that of the matrix with its second row turned round.
    pixels = pixels.flip(1) if mirrored else pixels
    return pixels.rot90(round(frame.rotation / 90) % 4, (1, 2))


def _reason(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return reason.splitlines()[0] if reason else type(error).__name__
