"""A picture of what the ablation's nets are shown: a clip of each class, each of another person."""

from pathlib import Path

import matplotlib.pyplot as plt

from dfer.chart_style import STYLE, WIDTH, save
from dfer.contact_sheet import strip
from dfer.experiments.protocol import Protocol
from dfer.rendering.hard_clips import CLASSES, render_hard_clips


def draw_example_clips(path: Path, protocol: Protocol) -> None:
    """In two columns, frames side by side."""
    count = len(CLASSES)
    clips, labels, people = render_hard_clips(people=count, takes=1, frames=protocol.frames, size=protocol.size, seed=0)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(count // 2, 2, figsize=(WIDTH, 0.45 * count), layout="constrained")
        for label, (name, panel) in enumerate(zip(CLASSES, panels.T.flat, strict=True)):
            chosen = int(((labels == label) & (people == label)).nonzero()[0])
            panel.imshow(strip(clips[chosen].float() / 255).numpy())
            panel.set_title(name, fontsize=9, loc="left", pad=3)
            panel.axis("off")
        # Noise does not compress: no more pixels than the frames are worth.
        save(figure, path, dpi=110)
