"""Cut the talking face into labelled clips on disk."""

from pathlib import Path

import av
from PIL import Image

from helpers.footage import talking_face_video


def talking_face() -> list[Image.Image]:
    """Return the 120 frames, 176 x 144, as pictures."""
    with av.open(str(talking_face_video())) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


LABELS = ("upright", "upside down", "turned over")


def write_clips(root: Path, name: str, footage: list[Image.Image], *, length: int, step: int) -> Path:
    """Write one clip per label from every `step`-th frame on. The last label is turned over half way through."""
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
