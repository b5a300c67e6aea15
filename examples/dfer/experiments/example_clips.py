"""A picture of what the ablation's nets are shown: a clip of each class, each of another person."""

from pathlib import Path

import matplotlib.pyplot as plt

from dfer.atomic_files import whole_file
from dfer.data.contact_sheet import strip
from dfer.data.hard_rendered import CLASSES, render_hard_clips
from dfer.evaluation.pictures import STYLE
from dfer.experiments.protocol import Protocol


def draw_example_clips(path: Path, protocol: Protocol) -> None:
    """In two columns, frames side by side."""
    count = len(CLASSES)
    clips, labels, people = render_hard_clips(people=count, takes=1, frames=protocol.frames, size=protocol.size, seed=0)
    with plt.rc_context(STYLE), whole_file(path) as beside:
        figure, panels = plt.subplots(
            count // 2, 2, figsize=(1.7 * protocol.frames, 0.52 * count), layout="constrained"
        )
        for label, (name, panel) in enumerate(zip(CLASSES, panels.T.flat, strict=True)):
            chosen = int(((labels == label) & (people == label)).nonzero()[0])
            panel.imshow(strip(clips[chosen].float() / 255).numpy())
            panel.set_title(name, fontsize=8, loc="left", pad=3)
            panel.axis("off")
        figure.savefig(beside, facecolor="white", dpi=80, format="png")
    plt.close(figure)
