"""Pictures of AGA's maps over the frames of clips, and of deletion and insertion curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from torch import Tensor
from torch.nn.functional import interpolate

from dfer.chart_style import BLUE, GREEN, MUTED, ORANGE, PURPLE, STYLE, WIDTH, save
from dfer.evaluation.gains import AT_HALF, WITHOUT


def draw_maps(path: Path, clips: Tensor, rows: dict[str, dict[str, Tensor]], captions: Sequence[str]) -> None:
    """For each clip its frames, then for every stage a row of maps for each of `rows`.

    `clips` (B, T, 3, H, W) from 0 to 1; `rows` the gains by the row's name, then by stage. One colour scale for each
    clip and stage, so that its rows and frames can be compared.
    """
    B, T = clips.shape[:2]
    stages = list(next(iter(rows.values())))
    height = 1 + len(stages) * len(rows)
    with plt.rc_context(STYLE | {"ytick.labelsize": 8}):
        figure = plt.figure(figsize=(1.1 * T + 1, B * (1.1 * height + 0.5)))
        blocks = figure.add_gridspec(B, 1, hspace=0.12)
        for clip in range(B):
            grid = blocks[clip].subgridspec(height, T + 1, width_ratios=[1.0] * T + [0.1], wspace=0.04, hspace=0.04)
            pictures = clips[clip].permute(0, 2, 3, 1)

            def panel(row: int, column: int, grid: Any = grid) -> Axes:
                axes = figure.add_subplot(grid[row, column], xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                return axes

            for column, picture in enumerate(pictures):
                axes = panel(0, column)
                axes.imshow(picture.numpy())
                if column == 0:
                    axes.set_title(captions[clip], loc="left", fontsize=9, fontweight="normal", pad=4)
            for number, stage in enumerate(stages):
                maps = {name: found[stage][clip] for name, found in rows.items()}
                low, high = min(float(m.min()) for m in maps.values()), max(float(m.max()) for m in maps.values())
                first = 1 + number * len(rows)
                for row, (name, values) in enumerate(maps.items(), start=first):
                    heat = interpolate(values[None], size=clips.shape[-2:], mode="bilinear", align_corners=False)[0]
                    for column, picture in enumerate(pictures):
                        axes = panel(row, column)
                        axes.imshow(picture.mean(dim=-1).numpy(), cmap="gray", vmin=0, vmax=1)
                        axes.imshow(heat[column].numpy(), cmap="inferno", alpha=0.6, vmin=low, vmax=high)
                        if column == 0:
                            axes.set_ylabel(f"{stage}\n{name}", fontsize=8)
                scale = ScalarMappable(Normalize(low, high), "inferno")
                bar = figure.add_subplot(grid[first : first + len(rows), T])
                figure.colorbar(scale, cax=bar).set_label("M / X - 1", fontsize=8)
        save(figure, path)


def draw_explanation(path: Path, report: dict[str, Any]) -> None:
    """Plot mean score against the share of pixels: deletion above, insertion below."""
    colours = (BLUE, ORANGE, GREEN, PURPLE)
    with plt.rc_context(STYLE):
        figure, both = plt.subplots(2, 1, figsize=(WIDTH, 7.6), layout="constrained")
        shares = [100 * share for share in report["shares"]]
        stages = list(dict.fromkeys(name.partition(",")[0] for name in report["curves"] if "," in name))
        for kind, axes in zip(("deletion", "insertion"), both, strict=True):
            for name, curve in report["curves"].items():
                stage = name.removeprefix("random as ").partition(",")[0]
                colour = colours[stages.index(stage)] if stage in stages else MUTED
                random, plain = name.startswith("random"), name.endswith((AT_HALF, WITHOUT))
                dash = ":" if random else "--" if plain else "-"
                axes.plot(shares, curve[kind], color=colour, linestyle=dash, linewidth=1.6, label=name)
            done = "removed" if kind == "deletion" else "restored"
            axes.set(title=kind.capitalize(), xlabel=f"{done}, % of the pixels", ylim=(0, 1.02))
            axes.set_ylabel("probability of the answered class")
            axes.grid(axis="y")
        figure.legend(
            *both[0].get_legend_handles_labels(), frameon=False, fontsize=9, ncols=2, loc="outside lower left"
        )
        save(figure, path)
