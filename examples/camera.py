"""Print the displayed expression of the face in front of a camera.

Needs numpy, opencv-python and onnxruntime, but not PyTorch.

    python camera.py stream.onnx           # the first camera
    python camera.py stream.onnx VIDEO

Hold your face in the square in the middle of the picture. The network expects
faces cropped as in training: for a product, replace `middle_square` with your
face detector.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime


class Stream:
    """The files of export_stream.py with their state: a frame in, a score of each class out."""

    def __init__(self, model: str) -> None:
        self.about = json.loads(Path(model).with_suffix(".json").read_text(encoding="utf-8"))
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.state = {name: np.zeros((1, *own["shape"]), own["dtype"]) for name, own in self.about["state"].items()}

    def push(self, frame: np.ndarray) -> np.ndarray:
        scores, *state = self.session.run(None, {"frames": frame[None], **self.state})
        self.state = dict(zip(self.state, state, strict=True))
        return scores[0]


def middle_square(picture: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    """A picture of OpenCV (H, W, BGR) to a frame of the network: (3, size, size), RGB, normalised."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = picture[top : top + side, left : left + side, ::-1]
    square = cv2.resize(square, (about["size"], about["size"]), interpolation=cv2.INTER_AREA)
    frame = (square / 255 - about["mean"]) / about["std"]
    return frame.transpose(2, 0, 1).astype(np.float32)


def pictures(source: str | int) -> Iterator[np.ndarray]:
    camera = cv2.VideoCapture(source)
    if not camera.isOpened():
        print(f"camera.py: {source}: cannot be opened; expected a video file, or a free camera", file=sys.stderr)
        sys.exit(2)
    while (read := camera.read())[0]:
        yield read[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="stream.onnx, with stream.json beside it")
    parser.add_argument("video", nargs="?", default=0)
    args = parser.parse_args()
    if not Path(args.model).with_suffix(".json").is_file() or not Path(args.model).is_file():
        parser.error(f"{args.model}: expected the stream.onnx of export_stream.py, with stream.json beside it")
    stream = Stream(args.model)
    for number, picture in enumerate(pictures(args.video)):
        scores = stream.push(middle_square(picture, stream.about))
        odds = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        print(f"frame {number}: {stream.about['classes'][odds.argmax()]} {odds.max():.0%}", flush=True)
