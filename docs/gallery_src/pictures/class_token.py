"""
What the class token attends to over time
=========================================

The temporal encoder puts a learnable class token in front of the frames; its output is the clip's vector. Its attention
weights say how much of every frame goes into the answer. They are shown for the small net that
this gallery trains on rendered faces, in the last of its three encoder layers, averaged over the heads.

Needs ``pip install matplotlib`` beside this package and, for its rendered faces, a checkout of it:
``PYTHONPATH=CHECKOUT/examples:CHECKOUT/tests:CHECKOUT/docs python class_token.py``.
"""

import sys

import matplotlib.pyplot as plt
import torch

from agdt_layers import capture_attention

try:
    from small_net import FRAMES, faces, trained_net

    from dfer.chart_style import BLUE, INK, ORANGE
    from dfer.data.augmentation import normalise, to_unit
    from dfer.rendering.motion import EXPRESSIONS
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}. class_token.py needs what its first lines say: packages, and a checkout on the PYTHONPATH.")

net, _, accuracy = trained_net(gate=True)
clips, labels = faces("test")
with torch.no_grad(), capture_attention(net) as maps:
    answers = net(normalise(to_unit(clips))).argmax(dim=1)
attention = {name: weights for name, weights in maps.items() if name.startswith("temporal.layers")}
for name, weights in attention.items():
    print(name, tuple(weights.shape), "(clips, heads, queries, class token and frames)")

# %%
# After seconds of training the class token still attends almost evenly, so the pictures show the rest: by how many per
# cent a weight is greater (red) or less (blue) than an even share. Token 0 is the class token itself.
last = attention["temporal.layers.2"][:, :, 0].mean(dim=1)
deviation = 100 * (last * (FRAMES + 1) - 1)
of_class = torch.stack([deviation[labels == i].mean(dim=0) for i in range(len(EXPRESSIONS))])
limit = of_class.abs().max()
figure, (matrix, curve) = plt.subplots(2, 1, figsize=(5.2, 6.8), layout="constrained")
matrix.imshow(of_class, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
matrix.set_xticks(range(FRAMES + 1), ["class\ntoken", *(f"frame {t}" for t in range(FRAMES))], fontsize=9)
matrix.set_yticks(range(len(EXPRESSIONS)), EXPRESSIONS)
matrix.tick_params(length=0)
matrix.spines[:].set_visible(False)
for row, values in enumerate(of_class.tolist()):
    for column, value in enumerate(values):
        strong = abs(value) > 0.6 * limit
        matrix.text(
            column, row, f"{value:+.1f}", ha="center", va="center", color="white" if strong else "black", fontsize=9
        )
curve.plot(range(FRAMES), deviation[:, 1:].T, color=BLUE, alpha=0.12, linewidth=1)
curve.plot(range(FRAMES), deviation[:, 1:].mean(dim=0), color=ORANGE, marker="o", label="mean of all clips")
curve.axhline(0, color=INK, linewidth=0.8, alpha=0.5)
matrix.set_title("Mean of each class, % off an even share")
curve.set(title=f"Each of {len(clips)} clips, %", xlabel="frame", xticks=range(FRAMES))
curve.legend(frameon=False)
plt.show()

# %%
# How evenly each layer's class token attends: entropy 1 is uniform.
for name, weights in attention.items():
    each = weights[:, :, 0]
    entropy = -(each * each.log()).sum(dim=-1).mean() / torch.tensor(FRAMES + 1.0).log()
    print(f"{name}: entropy {entropy:.3f} of its greatest")
print(f"{100 * accuracy:.0f} % of the clips are recognised; the net was trained for seconds.")
