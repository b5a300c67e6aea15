"""The camera script on a video, in an environment without torch: its frames and scores go into an .npz file.

Use: camera_without_torch.py stream.onnx VIDEO OUT.npz
"""

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import numpy as np

import camera

assert importlib.util.find_spec("torch") is None, "this environment must not have torch"
model, video, out = sys.argv[1:]
stream = camera.Stream(model)
frames = [camera.middle_square(picture, stream.about) for picture in camera.pictures(video)]
assert frames, "the video has no frames"
np.savez(out, frames=np.stack(frames), scores=np.stack([stream.push(frame) for frame in frames]))
