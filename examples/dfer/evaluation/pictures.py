"""The pictures of a run: confusion matrix, training curves and attention maps."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dfer.chart_style import BLUE, GREEN, MUTED, ON_LIGHT, ORANGE, STYLE, WIDTH, save


def draw_confusion(path: Path, confusion: Tensor, names: Sequence[str], title: str) -> None:
    """Draw each row divided by its clips: the diagonal is the recall."""
    counts = confusion.double()
    share = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    side = 1.4 + 0.54 * len(names)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(side, side))
        axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
        for row, column in torch.cartesian_prod(torch.arange(len(names)), torch.arange(len(names))).tolist():
            value = float(share[row, column])
            axes.text(
                column,
                row,
                f"{100 * value:.0f}" if value else "·",
                ha="center",
                va="center",
                color="white" if value > 0.55 else ON_LIGHT if value else MUTED,
            )
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xticks([i + 0.5 for i in range(len(names) - 1)], minor=True)
        axes.set_yticks([i + 0.5 for i in range(len(names) - 1)], minor=True)
        axes.grid(which="minor", color="white", linewidth=2)
        axes.tick_params(which="minor", length=0)
        axes.set(xlabel="answer", ylabel="truth", title=title)
        save(figure, path)


def draw_curves(path: Path, history: Sequence[dict[str, float]], best_epoch: int) -> None:
    epochs = [row["epoch"] for row in history]
    with plt.rc_context(STYLE):
        figure, (losses, metrics) = plt.subplots(2, 1, figsize=(WIDTH, 5.4), layout="constrained")
        losses.plot(
            epochs,
            [row["training_loss"] for row in history],
            color=BLUE,
            marker="o",
            markersize=3,
            label="training",
        )
        losses.plot(
            epochs,
            [row["validation_loss"] for row in history],
            color=ORANGE,
            marker="o",
            markersize=3,
            label="validation",
        )
        losses.set(title="Cross-entropy", xlabel="epoch", ylim=(0, None))
        # WAR is dashed and on top: with equal numbers of clips per class the two lines coincide.
        for name, colour, dash in (("uar", GREEN, "-"), ("war", ORANGE, "--")):
            values = [100 * row[f"validation_{name}"] for row in history]
            metrics.plot(epochs, values, color=colour, linestyle=dash, marker="o", markersize=3, label=name.upper())
        metrics.axvline(best_epoch, color=MUTED, linestyle=":", linewidth=1.2, label=f"kept: epoch {best_epoch}")
        metrics.set(title="Validation, %", xlabel="epoch", ylim=(0, 102))
        for axes in (losses, metrics):
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False)
        save(figure, path)


def draw_attention(path: Path, clips: Tensor, weights: Tensor, captions: Sequence[str]) -> None:
    """Two rows per clip: its frames, and the same under AGA's spatial weights.

    `clips` (B, T, 3, H, W) from 0 to 1, `weights` (B, T, h, w). Colours run from the least to the greatest
    weight of a clip: weights can be compared within a clip, not between two clips.
    """
    B, T = clips.shape[:2]
    height, width = clips.shape[-2:]
    low, high = weights.amin(dim=(1, 2, 3), keepdim=True), weights.amax(dim=(1, 2, 3), keepdim=True)
    heat = (weights - low) / (high - low).clamp(min=1e-12)
    heat = interpolate(heat, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 1)
    across = min(B, 2)
    down = -(-B // across)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(1.1 * T * across, 2.28 * down * height / width))
        blocks = figure.add_gridspec(down, across, wspace=0.08, hspace=0.16)
        for clip in range(B):
            grid = blocks[divmod(clip, across)].subgridspec(2, T, wspace=0.04, hspace=0.04).subplots(squeeze=False)
            for frame in range(T):
                plain, under = grid[:, frame]
                picture = clips[clip, frame].permute(1, 2, 0)
                grey = (picture * 0.55 + 0.25).mean(dim=-1)
                plain.imshow(picture.numpy(), interpolation="bicubic")
                under.imshow(grey.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
                under.imshow(
                    heat[clip, frame].numpy(), cmap="inferno", alpha=0.5, vmin=0, vmax=1, interpolation="bicubic"
                )
                plain.set_axis_off()
                under.set_axis_off()
            grid[0, 0].set_title(captions[clip], loc="left", fontsize=9, pad=4)
        save(figure, path)
