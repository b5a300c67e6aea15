"""Draw docs/images/recognise.png: a frame of a composed film as recognise.py annotates it.

PYTHONPATH=src:examples:tests python docs/recognise_picture.py [--weights RUN_OR_FILE]
"""

import contextlib
import sys
import tempfile
from itertools import islice
from pathlib import Path

from PIL import Image

import recognise
from dfer.video.reading import VideoReader
from helpers.composed import RATE, crowd
from helpers.videos import write_video

SECOND = 1.8
PICTURE = Path(__file__).resolve().parent / "images" / "recognise.png"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_video(Path("crowd.mp4"), crowd().frames, rate=RATE)
        code = recognise.main(["crowd.mp4", "--video", "--eaf", *sys.argv[1:]])
        if code == 0:
            frames = VideoReader(Path("recognised") / "crowd.faces.mp4").frames()
            frame = next(islice(frames, round(SECOND * RATE), None))
            Image.fromarray(frame.pixels.permute(1, 2, 0).numpy()).save(PICTURE, optimize=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
