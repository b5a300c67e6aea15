"""Frames of audited clips: unreadable, plain, too few or too many; and clips in different parts that show the same."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dfer.data.clips import usable_cores
from dfer.data.folders import Frames
from dfer.errors import BadInput
from dfer.progress import track

# The largest root mean square difference of two copies, in grey levels of 255.
NEAR = 3.0
SIDE = 8
# A frame shows nothing if its spots differ by fewer grey levels.
PLAIN = 8
# How many clips are searched for at once.
AT_ONCE = 32


def check_frames(
    clips: Mapping[str, Frames], parts: Tensor, size: int, fewest: int, most: int
) -> Iterator[tuple[str, str, str, str]]:
    """Topic, noun, description and name of each finding.

    Args:
        clips: the frames, by name.
        parts: numbers of the parts (folds, clips) that the clips are in; -1 stands for none.
        size: of the frames.
        fewest, most: published numbers of frames.
    """
    looks: dict[int, Tensor] = {}
    with ThreadPoolExecutor(usable_cores()) as pool:
        seen = track(pool.map(lambda frames: small(frames, size), clips.values()), "reading frames", len(clips))
        for number, (name, found) in enumerate(zip(clips, seen, strict=True)):
            if isinstance(found, BadInput):
                yield "frames", "clip", "unreadable", str(found)
            elif not fewest <= len(found) <= most:
                yield "frames", "clip", f"outside the published {fewest} to {most} frames", name
            elif (middle := found[len(found) // 2]).max() - middle.min() < PLAIN:
                yield "frames", "clip", "of one plain colour", name
            else:
                looks[number] = found
    names, kept = [*clips], [*looks]
    for one, other, how in near_copies([*looks.values()], parts[:, kept]) if looks else ():
        pair = f"{names[kept[one]]} and {names[kept[other]]}" + f" ({how})" * bool(how)
        yield "copies", "pair", "alike, though in different parts", pair


def small(frames: Frames, size: int) -> Tensor | BadInput:
    """All frames as grey pictures of 8 x 8 pixels (T, 64), or why they cannot be read."""
    try:
        grey = frames.load(range(len(frames)), size).float().mean(dim=1, keepdim=True)
    except BadInput as error:
        return error
    return interpolate(grey, size=(SIDE, SIDE), mode="area").flatten(1)


def near_copies(clips: Sequence[Tensor], parts: Tensor) -> Iterator[tuple[int, int, str]]:
    """Pairs of clips, each (T, 64), by number, and what differs; at most one pair for each clip, and each pair once.

    Clips are compared if their `parts` (folds, clips) differ in a fold; -1 is none. The middle frame of a clip is
    searched for among all frames of the others. If it is found, all frames that both have must be near.
    """
    every, lengths = torch.cat(list(clips)), torch.tensor([len(clip) for clip in clips])
    owner = torch.arange(len(clips)).repeat_interleave(lengths)
    views = [*clips, *(clip.unflatten(1, (SIDE, SIDE)).flip(2).flatten(1) for clip in clips)]
    middles, found = torch.stack([view[len(view) // 2] for view in views]), set[frozenset[int]]()
    for first in track(range(0, len(views), AT_ONCE), "comparing clips", -(-len(views) // AT_ONCE)):
        near = torch.cdist(middles[first : first + AT_ONCE], every) <= NEAR * SIDE
        for number, frames in enumerate(near, start=first):
            one, view = number % len(clips), views[number]
            mine = parts[:, one, None]
            apart = ((parts != mine) & (parts >= 0) & (mine >= 0)).any(dim=0)
            candidates = owner[frames].unique()
            for other in candidates[apart[candidates]].tolist():
                shift = near_shift(view, clips[other])
                if shift is not None:
                    if frozenset((one, other)) not in found:
                        how = ["mirrored"] * (number >= len(clips)) + [f"frames shifted by {abs(shift)}"] * (shift != 0)
                        yield one, other, ", ".join(how)
                    found.add(frozenset((one, other)))
                    break


def near_shift(one: Tensor, other: Tensor) -> int | None:
    """The shift in frames between two clips (T, 64) that look alike, 0 if that fits; None if they differ."""
    middle = len(one) // 2
    best = int((other - one[middle]).square().sum(dim=1).argmin()) - middle
    for shift in (0, best):
        start, end = max(0, -shift), min(len(one), len(other) - shift)
        if (one[start:end] - other[start + shift : end + shift]).square().mean() <= NEAR**2:
            return shift
    return None
