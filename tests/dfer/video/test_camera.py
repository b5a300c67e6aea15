"""FFmpeg's test source in real time stands in for a camera."""

import time

import pytest

from dfer.errors import BadInput
from dfer.video.camera import Camera, find_camera

PICTURES = "testsrc=size=64x48:rate=50,realtime"


def test_slow_reader_skips_frames_and_does_not_lag() -> None:
    camera, taken = Camera(PICTURES, "lavfi"), []
    began = time.monotonic()
    for number, frame in camera.numbered():
        taken.append((number, frame.time, time.monotonic() - began))
        assert frame.pixels.shape == (3, 48, 64)
        if len(taken) == 6:
            break
        time.sleep(0.1)
    numbers = [number for number, _, _ in taken]
    assert numbers == sorted(set(numbers))
    # Six frames in half a second, of some 25 that the camera took.
    assert numbers[-1] > 12
    for _, at, now in taken:
        assert now - at < 0.2
    assert camera.fps == pytest.approx(50)
    assert camera.duration == taken[-1][1]


def test_camera_yields_every_nth_frame_until_it_ends() -> None:
    camera = Camera(PICTURES + ",trim=duration=0.5", "lavfi")
    numbers = [number for number, _ in camera.numbered(4)]
    assert numbers
    assert all(number % 4 == 0 for number in numbers)
    assert numbers[-1] <= 24


def test_missing_camera_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--camera: .*97 cannot be opened"):
        next(find_camera(97).numbered())
