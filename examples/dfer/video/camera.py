"""Frames of a camera without lag: a slow reader skips frames."""

import sys
import time
from collections.abc import Iterator, Sequence
from queue import Empty, Full, Queue
from threading import Event, Thread

import av
import torch
from av.error import FFmpegError

from dfer.errors import BadInput
from dfer.video.reading import Frame
from dfer.video.timeline import Row, label_of

# By system: FFmpeg's camera driver and the name of its n-th camera.
SYSTEMS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
# In seconds: after so long without a frame, the camera was unplugged or is in use.
PATIENCE = 10.0

# Number, arrival time in seconds, and frame.
Taken = tuple[int, float, av.VideoFrame]
Newest = Queue[Taken]


class Camera:
    """Yields frames until the camera ends or the reader stops; `duration` is the time of the last one."""

    def __init__(self, name: str, driver: str) -> None:
        self.name, self._driver = name, driver
        self.duration = 0.0
        self.fps = 0.0
        self.start = 0.0
        self.still = self.is_variable = self.plays = False
        self.problem: str | None = None

    def numbered(self, step: int = 1) -> Iterator[tuple[int, Frame]]:
        """Yield every `step`-th frame with its number from 0; frames that come too fast are skipped."""
        try:
            container = av.open(self.name, format=self._driver)
        except (FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BadInput(f"--camera: {self.name} cannot be opened ({reason})") from None
        self.fps = float(container.streams.video[0].average_rate or 0)
        newest: Newest = Queue(maxsize=1)
        stop = Event()
        reading = Thread(target=_read, args=(container, step, newest, stop), daemon=True)
        reading.start()
        try:
            while (item := self._wait(newest, reading)) is not None:
                number, self.duration, frame = item
                pixels = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
                yield number, Frame(self.duration, pixels)
        finally:
            stop.set()
            reading.join(PATIENCE)
            container.close()

    def _wait(self, newest: Newest, reading: Thread) -> Taken | None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                return newest.get(timeout=0.1)
            except Empty:
                if not reading.is_alive() and newest.empty():
                    return None
        self.problem = f"no frame for {PATIENCE:.0f} s: the camera was unplugged, or another program uses it"
        return None


def find_camera(number: int) -> Camera:
    """The n-th camera of this machine, from 0, opened by `numbered`. Raises BadInput without a driver."""
    if sys.platform not in SYSTEMS:
        raise BadInput("--camera works on Linux and macOS; elsewhere record a file first")
    driver, name = SYSTEMS[sys.platform]
    return Camera(name.format(number), driver)


def _read(container: av.container.InputContainer, step: int, newest: Newest, stop: Event) -> None:
    began = time.monotonic()
    try:
        for number, frame in enumerate(container.decode(video=0)):
            if stop.is_set():
                return
            if number % step == 0:
                _put_newest(newest, (number, time.monotonic() - began, frame))
    except (FFmpegError, OSError):
        return


def _put_newest(newest: Newest, item: Taken) -> None:
    while True:
        try:
            newest.put_nowait(item)
            return
        except Full:
            try:
                newest.get_nowait()
            except Empty:
                continue


INTERVAL = 1.0


class Live:
    """Prints the newest rows, at most once every INTERVAL seconds."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._next = 0.0

    def show(self, rows: Sequence[Row]) -> None:
        time = rows[0].timestamp
        if time < self._next:
            return
        self._next = time + INTERVAL
        shown = [
            f"face {row.face_id} {label_of(row.probabilities, self._classes)} {max(row.probabilities):.0%}"
            for row in rows
            if row.probabilities is not None
        ]
        print(f"{time:7.1f} s  {', '.join(shown) or 'no face'}", flush=True)
