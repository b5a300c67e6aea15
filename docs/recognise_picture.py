"""Draw the pictures of docs/recognise.md: a frame of a film as recognise.py annotates it and, by Chromium, its page.

PYTHONPATH=src:examples:tests python docs/recognise_picture.py [--weights RUN_OR_FILE]
"""

import contextlib
import shutil
import subprocess
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
IMAGES = Path(__file__).resolve().parent / "images"
WIDTH, HEIGHT = 1280, 1180


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_video(Path("crowd.mp4"), crowd().frames, rate=RATE)
        code = recognise.main(["crowd.mp4", "--video", "--eaf", *sys.argv[1:]])
        if code == 0:
            frames = VideoReader(Path("recognised") / "crowd.mp4.faces.mp4").frames()
            frame = next(islice(frames, round(SECOND * RATE), None))
            Image.fromarray(frame.pixels.permute(1, 2, 0).numpy()).save(IMAGES / "recognise.png", optimize=True)
            draw_page(Path("recognised/crowd.mp4.html").resolve())
    return code


def draw_page(page: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("recognise_picture.py: no Chromium; recognise_page.png stays as it is")
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
    # The time that the page gets to load its video.
    picture = f"--screenshot={IMAGES / 'recognise_page.png'}"
    subprocess.run([browser, *flags, "--timeout=5000", picture, page.as_uri()], check=True)


if __name__ == "__main__":
    sys.exit(main())
