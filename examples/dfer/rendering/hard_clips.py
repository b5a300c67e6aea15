"""Harder rendered faces: weak expressions, occlusion, changing light, noise and few people."""

from dataclasses import replace

import torch
from torch import Tensor

from dfer.rendering.clips import RenderedClips, paint_clips
from dfer.rendering.identity import Scene, draw_identities, draw_scenes, select
from dfer.rendering.motion import EXPRESSIONS, MUSCLES, REST, Motion, draw_motion

# Happy and surprise are split by direction (from rest, or back to rest); the other four classes are expressions.
CLASSES = ("happy onset", "happy offset", "surprise onset", "surprise offset", "sad", "angry", "disgust", "fear")


def render_hard_clips(*, people: int, takes: int, frames: int, size: int, seed: int) -> RenderedClips:
    """Render `takes` clips of every class for each person.

    An offset is an onset of the same person in reverse order, so no single frame and no mean over frames separates the
    two. The other classes run forwards or backwards at random.
    """
    generator = torch.Generator().manual_seed(seed)
    identities = draw_identities(people, generator)
    # One clip for each person, take and expression; onset and offset share one.
    shown = [name for name in EXPRESSIONS if name != "neutral"]
    person = torch.arange(people).repeat_interleave(takes * len(shown))
    expression = torch.tensor([EXPRESSIONS.index(name) for name in shown]).repeat(people * takes)
    scenes = _harder(draw_scenes(len(person), generator), generator)
    motion = _subtle(draw_motion(expression, frames, monotone=True, generator=generator), generator)
    forwards = filmed(paint_clips(select(identities, person), scenes, motion, size), generator)
    backwards = forwards.flip(1)
    either = torch.rand(len(person), generator=generator) < 0.5
    clips, labels, who = [], [], []
    for label, name in enumerate(CLASSES):
        emotion, _, direction = name.partition(" ")
        rows = (expression == EXPRESSIONS.index(emotion)).nonzero().flatten()
        reverse = either[rows] if direction == "" else torch.full_like(rows, direction == "offset", dtype=torch.bool)
        clips.append(torch.where(reverse[:, None, None, None, None], backwards[rows], forwards[rows]))
        labels.append(torch.full_like(rows, label))
        who.append(person[rows])
    return RenderedClips(torch.cat(clips), torch.cat(labels), torch.cat(who))


def _harder(scenes: Scene, generator: torch.Generator) -> Scene:
    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(scenes.brightness), generator=generator)

    return replace(
        scenes,
        light_x=between(-1.4, 1.4),
        light_y=between(-1.0, 0.3),
        brightness=between(0.6, 1.2),
        warmth=between(-0.15, 0.15),
        occluder=(between(0, 1) < 0.5).float(),
        occluder_x=between(-0.6, 0.6),
        occluder_y=between(-0.5, 0.8),
        occluder_size=between(0.15, 0.35),
        occluder_speed=between(-0.9, 0.9),
    )


def _subtle(motion: Motion, generator: torch.Generator) -> Motion:
    """Scale expressions down to between half and full strength."""
    weak = 0.5 + 0.5 * torch.rand(len(motion.jaw), 1, generator=generator)
    rest = dict(zip(MUSCLES, REST, strict=True))
    muscles = {name: rest[name] + weak * (getattr(motion, name) - rest[name]) for name in MUSCLES}
    return replace(motion, **muscles)


def filmed(clips: Tensor, generator: torch.Generator) -> Tensor:
    """Add light that changes linearly by up to a fifth over the clip, and sensor noise."""
    count, frames = clips.shape[:2]
    change = 0.4 * torch.rand(count, 1, generator=generator) - 0.2
    gain = 1 + change * torch.linspace(-0.5, 0.5, frames)
    noise = 6 * torch.randn(clips.shape, generator=generator)
    return (clips * gain[:, :, None, None, None] + noise).round().clamp(0, 255).to(torch.uint8)
