r"""
The gate, as means and maxima disagree
======================================

Adaptive channel attention makes two descriptions of every channel: :math:`a` grows with the channel's **mean** and
its neighbours' (a convolution along the channels), :math:`b` with the **maxima** of all channels (a linear map). A gate
:math:`w` mixes them, :math:`f_{att} = w a + (1 - w) b`.

The paper calls a and b the global and the local weight vector, in this order. Which is which depends on how its text is
read, and exchanging rows and columns of the correlation matrices exchanges a and b exactly (reading 1 of the page "From
paper to code"), so the curves below are named after their statistics.

To see the gate alone, the layer below gets weights by hand: both maps are the identity, and the gate prefers the
greater of the two statistics.

Needs ``pip install matplotlib`` beside this package.
"""

import matplotlib.pyplot as plt
import torch

from agdt_layers import AdaptiveGlobalAttention

layer = AdaptiveGlobalAttention(64, local_kernel_size=1).channel
with torch.no_grad():
    layer.local.weight.fill_(1.0)
    layer.fc.weight.copy_(torch.eye(64))
    layer.fc.bias.zero_()
    layer.gate.weight.copy_(torch.tensor([[[6.0], [-6.0]]]))
    layer.gate.bias.zero_()

# %%
# Sixty-four channels of one frame. On the left the mean is high and the maximum is no higher: the channel is active
# everywhere. On the right the mean is low and the maximum is high: a small spot is active.
channel = torch.arange(64)
average = 0.9 - 0.8 * channel / 63
peak = 0.9 + 0.1 * channel / 63
with torch.no_grad():
    weights, gate = layer(average[None], peak[None])
from_mean = average * peak.mean()
from_maximum = peak * average.mean()

figure, (statistics, gating) = plt.subplots(2, 1, figsize=(5.2, 5), sharex=True, layout="constrained")
statistics.plot(channel, from_mean, color="C0", label="a, from the mean")
statistics.plot(channel, from_maximum, color="C1", label="b, from the maximum")
mixed = gate[0] * from_mean + (1 - gate[0]) * from_maximum
statistics.plot(channel, mixed, color="grey", linestyle="--", label="$f_{att}$, what the gate makes of both")
statistics.plot(
    channel, (from_mean + from_maximum) / 2, color="grey", linewidth=0.8, alpha=0.5, label="without the gate"
)
statistics.set(title="Two statistics of 64 channels")
statistics.legend(frameon=False, fontsize=8)
gating.plot(channel, gate[0], color="C2")
gating.axhline(0.5, color="grey", linewidth=0.8, alpha=0.4)
gating.set(title="Gate w: 1 takes a, 0 takes b", xlabel="channel", ylim=(0, 1))
plt.show()

# %%
# Where the two agree, the gate does nothing that averaging would not do: the dashed line crosses the thin one. Where
# they disagree, it follows one of them. Averaging (``gate=False``) cannot.
disagreement = (from_mean - from_maximum).abs().max().item()
print(f"largest |a - b|: {disagreement:.2f}; gate from {gate.max():.2f} down to {gate.min():.2f}")

# %%
# A freshly made layer starts near the middle: its gate is close to 0.5 until training moves it.
torch.manual_seed(0)
fresh = AdaptiveGlobalAttention(64).channel
with torch.no_grad():
    _, gate = fresh(torch.rand(1000, 64), torch.rand(1000, 64) + 1)
print(f"gate of a fresh layer on 1000 random frames: {gate.mean():.2f} on average, {gate.std():.3f} deviation")
