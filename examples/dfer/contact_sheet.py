"""A picture of clips as they are and as they are trained on."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from dfer.atomic_files import whole_file
from dfer.chart_style import STYLE
from dfer.data.augmentation import augment, draw, to_unit
from dfer.data.clips import ClipSource, seeded


def draw_contact_sheet(path: Path, source: ClipSource, names: tuple[str, ...], *, augmented: bool, seed: int) -> None:
    """Draw two clips of each label, at most sixteen, each with its label and path.

    A row shows the frames that a test samples; with `augmented` the row below shows an augmentation.
    """
    shown = some_of_each_label(source.labels, each=2, most=16)
    rows: list[tuple[str, Tensor]] = []
    for index in shown:
        label = names[source.labels[index]]
        rows.append((f"{label}   {tail(source.name(index))}", to_unit(source.frames(index, None))))
        if augmented:
            generator = torch.Generator().manual_seed(seeded(seed, 0, index))
            frames = source.frames(index, generator)
            rows.append(("", augment(to_unit(frames)[None], draw(generator)[None])[0]))
    columns = max(len(frames) for _, frames in rows)
    with plt.rc_context(STYLE), whole_file(path) as beside:
        figure, axes = plt.subplots(
            len(rows), 1, figsize=(0.75 * columns, 0.95 * len(rows)), squeeze=False, layout="constrained"
        )
        for (caption, frames), (panel,) in zip(rows, axes, strict=True):
            panel.imshow(strip(frames).numpy())
            panel.set_title(caption or "as trained on", fontsize=7, fontweight="bold" if caption else "normal", pad=2)
            panel.axis("off")
        figure.savefig(beside, facecolor="white", dpi=150)
        plt.close(figure)


def some_of_each_label(labels: list[int], *, each: int, most: int) -> list[int]:
    """Indices spread over the list, label by label."""
    places: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        places.setdefault(label, []).append(index)
    chosen = [places[label][:: max(1, len(places[label]) // each)][:each] for label in sorted(places)]
    return [index for indices in chosen for index in indices][:most]


def tail(name: str) -> str:
    """The end of a long path, whose start is the same for all clips."""
    return name if len(name) <= 60 else "..." + name[-57:]


def strip(frames: Tensor) -> Tensor:
    """(T, 3, H, W) side by side with a white line between: (H, T * W, 3)."""
    white = torch.ones(*frames.shape[:3], 2)
    return torch.cat([frames, white], dim=-1).permute(2, 0, 3, 1).flatten(1, 2)
