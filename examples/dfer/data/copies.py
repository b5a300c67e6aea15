"""Clips that lie in two parts under different names: their frames are the same."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from dfer.data.clips import ClipSource
from dfer.progress import track


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
