"""Clips that lie in two parts under different names: their frames are the same."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dfer.data.clips import ClipSource
from dfer.progress import track

# Grey levels of 255.
NEAR = 3.0


def copies(sources: Mapping[str, ClipSource], contents: Mapping[str, Sequence[bytes]]) -> list[str]:
    """A remark for every two parts, by name, in which clips look the same.

    Clips whose contents occur in one part only are passed over. Of the others all frames that a test sees are read,
    once a clip, and hashed. This is no error: two clips may both be black.
    """
    parts = defaultdict(set)
    for part, found in contents.items():
        for content in found:
            parts[content].add(part)
    suspects = [
        (part, index)
        for part, found in contents.items()
        for index, content in enumerate(found)
        if len(parts[content]) > 1
    ]
    frames = {
        (part, index): hashlib.sha256(sources[part].frames(index, None).numpy().tobytes()).digest()
        for part, index in track(suspects, "comparing clips that look alike", len(suspects))
    }
    remarks = []
    for one, other in combinations(sources, 2):
        first: dict[bytes, int] = {}
        for (part, index), seen in frames.items():
            if part == one:
                first.setdefault(seen, index)
        pairs = [(index, first[seen]) for (part, index), seen in frames.items() if part == other and seen in first]
        if pairs:
            index, like = pairs[0]
            remarks.append(
                f"{len(pairs)} of {len(contents[other])} {other} clips look the same as {one} clips, first "
                f"{sources[other].name(index)} and {sources[one].name(like)}; scores on copies say nothing"
            )
    return remarks


def near_copies(sources: Mapping[str, ClipSource]) -> list[str]:
    """A remark for every two parts in which clips differ by no more than another encoding or size makes them differ.

    Clips are compared, also mirrored, as grey pictures of 8 x 8 pixels, by the root mean square of their differences.
    """
    frames: dict[str, Tensor] = {}
    for part, source in sources.items():
        clips = range(len(source.labels))
        looked = track(clips, f"looking at {part} clips", len(clips))
        frames[part] = torch.stack([small(source.frames(index, None)) for index in looked])
    remarks = []
    for one, other in combinations(sources, 2):
        near = []
        for index, clip in enumerate(frames[other]):
            views = torch.stack([clip, clip.flip(-1)])
            distances = (frames[one][:, None] - views).square().mean(dim=(2, 3, 4)).min(dim=1).values
            like = int(distances.argmin())
            if distances[like] <= NEAR**2 and not same(sources[other], index, sources[one], like):
                near.append((index, like))
        if near:
            index, like = near[0]
            first, its = sources[other].name(index), sources[one].name(like)
            remarks.append(f"{len(near)} {other} clips nearly look like {one} clips, first {first} and {its}")
    return remarks


def same(source: ClipSource, index: int, other: ClipSource, like: int) -> bool:
    return source.frames(index, None).equal(other.frames(like, None))


def small(clip: Tensor) -> Tensor:
    grey = clip.float().mean(dim=1, keepdim=True)
    return interpolate(grey, size=(8, 8), mode="area")[:, 0]
