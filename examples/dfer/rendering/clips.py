"""The built-in data set: clips of faces rendered from one seed, with nothing to download."""

from dataclasses import fields
from typing import NamedTuple

import torch
from torch import Tensor

from dfer.progress import track
from dfer.rendering.framing import aligned
from dfer.rendering.identity import Identity, Scene, draw_identities, draw_scenes, select
from dfer.rendering.motion import DIRECTIONS, EXPRESSIONS, Motion, draw_motion
from dfer.rendering.painting import paint_faces

LABEL_SETS = {"expressions": EXPRESSIONS, "aligned-expressions": EXPRESSIONS, "direction": DIRECTIONS}


class RenderedClips(NamedTuple):
    """`clips` (B, T, 3, H, W) uint8, `labels` (B,), and `people` (B,), the index of the person in each clip."""

    clips: Tensor
    labels: Tensor
    people: Tensor


def render_clips(label_set: str, *, people: int, frames: int, size: int, seed: int) -> RenderedClips:
    """Render one clip of every class for each person.

    Label sets: "expressions" has seven expressions. "aligned-expressions" has the same, framed as prepare_videos.py
    frames faces, so that a trained net also works on prepared videos. "direction" has two classes: the onset of an
    expression, and the same frames in reverse order (offset), so that no single frame separates the two.
    """
    generator = torch.Generator().manual_seed(seed)
    identities = draw_identities(people, generator)
    classes = len(LABEL_SETS[label_set])
    person = torch.arange(people).repeat_interleave(classes)
    labels = torch.arange(classes).repeat(people)
    if label_set != "direction":
        scenes = draw_scenes(len(labels), generator)
        motion = draw_motion(labels, frames, monotone=False, generator=generator)
        if label_set == "aligned-expressions":
            motion = aligned(select(identities, person), motion, generator)
        return RenderedClips(paint_clips(select(identities, person), scenes, motion, size), labels, person)
    moving = torch.tensor([i for i, name in enumerate(EXPRESSIONS) if name != "neutral"])
    shown = moving[torch.randint(len(moving), (people,), generator=generator)]
    scenes = draw_scenes(people, generator)
    motion = draw_motion(shown, frames, monotone=True, generator=generator)
    onset = paint_clips(identities, scenes, motion, size)
    both = torch.stack([onset, onset.flip(1)], dim=1).flatten(0, 1)
    return RenderedClips(both, labels, person)


def paint_clips(people: Identity, scenes: Scene, motion: Motion, size: int) -> Tensor:
    """Paint (B, T) frames, a few clips at a time so that one batch fits into the CPU cache."""
    clips, frames = motion.jaw.shape
    together = max(1, 2**16 // (frames * size * size))
    out = torch.empty(clips, frames, 3, size, size, dtype=torch.uint8)
    time = torch.linspace(0, 1, frames)
    batches = torch.arange(clips).split(together)
    for rows in track(batches, "rendering faces", len(batches)):
        each = rows.repeat_interleave(frames)
        moves = Motion(**{f.name: getattr(motion, f.name)[rows].flatten() for f in fields(motion)})
        pictures = paint_faces(select(people, each), select(scenes, each), moves, time.repeat(len(rows)), size)
        out[rows] = (pictures * 255).round().to(torch.uint8).unflatten(0, (len(rows), frames))
    return out
