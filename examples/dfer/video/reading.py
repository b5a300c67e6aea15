"""Upright frames of a video file with their times, including the readable part of a damaged file."""

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

# In seconds. A longer gap between two frames means a broken clock or a cut, not a still picture.
LONGEST_STILL = 10.0


class UnreadableVideo(Exception):
    """No frame of the file can be read; the message is one line without the file's name."""


class Frame(NamedTuple):
    time: float  # seconds from the start of the file, by its time stamps and not by the frame's number
    pixels: Tensor  # (3, H, W) uint8, RGB, upright


def open_file(path: Path) -> InputContainer:
    """Open a local file. A name such as "12:30 lecture.mp4" is not a URL, and playlists cannot load other files."""
    return av.open(f"file:{path}", container_options={"protocol_whitelist": "file"})


class Reader(ABC):
    """Reads the frames of a file; each call of `frames` or `numbered` reads it again.

    fps: the stated frame rate, 0 if none. frames_read: number of frames that the last reading decoded. duration: end of
    the last of them, in seconds. start: the first time of the file's own clock; all other times start at 0. still:
    whether the file is one picture. plays: whether browsers can play it as a video. is_variable: whether the frame rate
    varies. problem: one line on what is damaged or missing, or None; the readable frames are still returned.
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
        self._half_tick = 0.0  # half the resolution of the time stamps

    def frames(self, every: float | None = None) -> Iterator[Frame]:
        """Yield every frame, or the frame shown at 0, `every`, 2 `every`, ... seconds after the first one.

        With an interval, a frame that is shown for longer is repeated, for up to 10 seconds, so that the frames are
        evenly spaced even if those of the file are not. Raises UnreadableVideo.
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
        """Yield every `step`-th frame with its number from 0. Raises UnreadableVideo."""
        for taken, frame in enumerate(self._decode(step)):
            yield taken * step, frame

    def stated_frames(self) -> int | None:
        """Number of frames according to the file, for a progress bar; None if it does not say."""
        return None

    @abstractmethod
    def _decode(self, step: int = 1) -> Iterator[Frame]: ...


class VideoReader(Reader):
    """Reads a file's first video stream."""

    def stated_frames(self) -> int | None:
        try:
            with open_file(self.path) as container:
                stream = container.streams.video[0]
                seconds = (container.duration or 0) / av.time_base
                return stream.frames or round(seconds * (stream.average_rate or 0)) or None
        except (FFmpegError, OSError, ValueError, IndexError):
            return None

    def _decode(self, step: int = 1) -> Iterator[Frame]:
        self.frames_read, self.duration, self.problem = 0, 0.0, None
        try:
            container = open_file(self.path)
        except (FFmpegError, OSError, ValueError) as error:
            raise UnreadableVideo(why_unreadable(self.path, _reason(error))) from error
        with container:
            # Cover pictures of sound files are video streams, too.
            streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                raise UnreadableVideo("it has no video stream")
            stream = streams[0]
            if stream.codec_context is None:
                raise UnreadableVideo("FFmpeg has no decoder for its video")
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
                    # AVI stores decoding times only. Frames leave the decoder in display order, all delayed as much
                    # as the first one.
                    if not self.frames_read and frame.dts is not None and decoding.first_key is not None:
                        late = frame.dts - decoding.first_key
                    stamp = None if frame.dts is None else frame.dts - late
                time = end if stamp is None else stamp * tick - self.start
                if self.frames_read and time <= last:  # ignore a time stamp that goes back
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
        # Files with edit lists state a few more frames than they show; AVI files also count empty frames in pauses.
        read = self.frames_read if container.format.name != "avi" else max(self.frames_read, self.duration * self.fps)
        if read < 0.9 * stream.frames:
            found.append(f"only {self.frames_read} of the {stream.frames} stated frames")
        end = self.duration
        if stream.duration is not None and stream.time_base is not None:
            stated = float(stream.duration * stream.time_base)
        else:
            # Only the length of the file is known. It may be counted from 0, and sound may be longer than the video.
            stated = (container.duration or 0) / av.time_base
            end = max(end + self.start, heard_until)
        if stated - end > min(0.5, max(0.1, stated / 4)):
            found.append(f"it ends after {end:.2f} s of the stated {stated:.2f} s")
        return "; ".join(found) or None


class _Decoding:
    """The frames of a stream, and the errors between them.

    first_key: decoding time stamp of the first key frame. heard_until: end of the sound read so far, in seconds of the
    file's own clock.
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
                # The file cannot be read any further: flush the decoder.
                yield error
                packet = None
            # The empty last packet has only a valid stream index.
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
    # Make pixels square; an extreme ratio is an error in the file.
    aspect = float(pixel_aspect or 1)
    width = round(frame.width * aspect) if 0.25 <= aspect <= 4 else frame.width
    pixels = torch.from_numpy(frame.to_ndarray(format="rgb24", width=width, height=frame.height)).permute(2, 0, 1)
    # FFmpeg's angle of a mirroring matrix is that of the matrix with its second row negated.
    pixels = pixels.flip(1) if mirrored else pixels
    return pixels.rot90(round(frame.rotation / 90) % 4, (1, 2))


def _reason(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return reason.splitlines()[0] if reason else type(error).__name__
