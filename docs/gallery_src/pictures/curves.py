"""
A training run's curves
=======================

The small nets of this gallery, trained when the page was built: 60 steps on rendered faces, seven expressions, with
and without the gate. Every run of ``examples/train.py`` draws such curves of its own, a confusion matrix and
attention maps; see :doc:`/gallery/tasks/train_a_net`.

Needs ``pip install matplotlib`` beside this package and, for its rendered faces, a checkout of it:
``PYTHONPATH=CHECKOUT/examples:CHECKOUT/tests:CHECKOUT/docs python curves.py``.
"""

import sys

import matplotlib.pyplot as plt
import torch

try:
    from small_net import BATCH, STEPS, faces, trained_net

    from dfer.chart_style import BLUE, INK, ORANGE
    from dfer.data.augmentation import normalise, to_unit
    from dfer.rendering.motion import EXPRESSIONS
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}. curves.py needs what its first lines say: packages, and a checkout on the PYTHONPATH.")

runs = {"with gate": (trained_net(gate=True), BLUE), "without gate": (trained_net(gate=False), ORANGE)}
for name, (run, _) in runs.items():
    parameters = sum(p.numel() for p in run.net.parameters())
    print(f"{name}: {parameters:,} parameters, loss {run.losses[0]:.2f} -> {run.losses[-1]:.2f}, "
          f"{100 * run.accuracy:.0f} % of unseen people's clips right")  # fmt: skip

# %%
# The loss of each step is pale, its moving mean over ten steps is strong. Dotted: guessing among seven classes.
figure, (losses, recalls) = plt.subplots(2, 1, figsize=(5.2, 6.4), layout="constrained")
for name, (run, colour) in runs.items():
    each = torch.tensor(run.losses)
    losses.plot(each, color=colour, alpha=0.3, linewidth=1)
    losses.plot(range(9, STEPS), each.unfold(0, 10, 1).mean(dim=1), color=colour, label=name)
losses.axhline(torch.tensor(7.0).log(), color=INK, linewidth=1, linestyle=":")
losses.set(title="Cross-entropy", xlabel=f"step ({BATCH} clips each)", ylim=(0, None))
losses.legend(frameon=False)

clips, labels = faces("test")
for number, (run, colour) in enumerate(runs.values()):
    with torch.no_grad():
        right = run.net(normalise(to_unit(clips))).argmax(dim=1) == labels
    recall = [100 * right[labels == i].float().mean().item() for i in range(len(EXPRESSIONS))]
    recalls.barh([i - 0.19 + 0.38 * number for i in range(len(recall))], recall, height=0.34, color=colour)
recalls.set_yticks(range(len(EXPRESSIONS)), EXPRESSIONS)
recalls.invert_yaxis()
recalls.axvline(100 / 7, color=INK, linewidth=1, linestyle=":")
recalls.set(title="Recall on unseen people, %", xlim=(0, 100))
plt.show()

# %%
# With one seed, seconds of training and a dozen people to test on, this does not say which is better. It shows that
# both rows of the paper's ablation train.
