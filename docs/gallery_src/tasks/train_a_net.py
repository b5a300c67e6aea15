"""
Train
=====

``examples/train.py`` trains and evaluates the net: on rendered faces, made on the spot with nothing to download, or
on clips of your own. This page runs it on both, with tiny settings so that the site builds in seconds. The scores
below mean nothing but that it runs.

Needs a checkout with its extra, ``pip install -e "CHECKOUT[train]" scikit-video==1.1.11``:
``PYTHONPATH=CHECKOUT/examples:CHECKOUT/tests:CHECKOUT/docs python train_a_net.py``.
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

try:
    import matplotlib.pyplot as plt

    import train
    from dfer.data import parts as run_data
    from dfer.training.settings import ON_DISK
    from helpers import real_footage
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}. train_a_net.py needs what its first lines say: packages, and a checkout on the PYTHONPATH.")


def show(path, width):
    """Put a picture of a run on this page."""
    picture = plt.imread(path)
    figure = plt.figure(figsize=(width, width * picture.shape[0] / picture.shape[1]), dpi=150, facecolor="none")
    figure.add_axes((0, 0, 1, 1), xticks=[], yticks=[], frame_on=False).imshow(picture)
    plt.show()


out = Path(mkdtemp())

# %%
# Rendered faces
# --------------
# On the command line: ``python examples/train.py``. Without arguments it renders seven expressions, trains in minutes
# on two CPU cores, and writes to ``runs/expressions``. ``--labels direction`` asks whether a face goes from rest to an
# expression or back, which no single frame can answer. Here: small frames, few clips.
run_data.CLIPS.update(training=168, validation=28, test=42)
arguments = "--frames 4 --size 32 --epochs 4"
train.main([*arguments.split(), "--out", str(out / "expressions")])

# %%
# Every run leaves ``metrics.json`` (scores, confusion, settings, history), ``weights.safetensors``, which also says
# the classes, the size and the number of frames, and three pictures.
show(out / "expressions" / "curves.png", 5)

# %%
show(out / "expressions" / "attention.png", 4.5)

# %%
# Clips of your own
# -----------------
# Two text files, one for training and one for testing, in the format that this community's datasets come in: on every
# line a folder of frames, their number, and a label from 0. Folders may contain spaces; where the number differs from
# the disk, the files on disk win and the difference is reported.
#
# The clips here are cut out of real footage; the net is to tell which way up it is, or whether it turns
# over.
footage = real_footage.talking_face()
training_list = real_footage.write_clips(out, "training", footage[:80], length=12, step=10)
test_list = real_footage.write_clips(out, "test", footage[80:], length=12, step=10)
print(*training_list.read_text().splitlines()[:3], "...", sep="\n")

# %%
arguments = "--frames 4 --size 32 --epochs 2 --batch-size 4 --recipe rendered --workers 0"
lists = ["--list", str(training_list), "--test-list", str(test_list)]
lists += ["--class-names", ",".join(real_footage.LABELS)]
train.main([*arguments.split(), *lists, "--out", str(out / "footage")])

# %%
show(out / "footage" / "confusion.png", 3.6)

# %%
# What the settings mean
# ----------------------
# What clips of your own are trained with unless you say otherwise. The recipes ``dfew`` and ``ferv39k`` are those of
# the paper: SGD with learning rate 1e-3, momentum 0.9 and weight decay 1e-4, halved every 7 epochs, for 100 epochs with
# batches of 40. Of ``daisee`` the cosine schedule with warm restarts, the balanced order and the batches are the
# paper's, and the rest is this package's choice. So are the number of frames, two from each of eight segments, and a
# pretrained backbone, ``--pretrained resnet18.pth``. ``rendered`` is the recipe for training from scratch.
for name, value in ON_DISK.items():
    print(f"{name:18} {value}")

# %%
# DFEW, FERV39k and DAiSEE are read from their published layouts, each with its recipe: ``--dfew DFEW --fold 1``,
# ``--ferv39k FERV39k``, ``--daisee DAiSEE/Labels --frames-root FACES``. ``--frames-root`` also takes a store that
# ``pack_clips.py`` made. ``--check-frames`` decodes every frame before the run; ``--contact-sheet`` draws some clips.
#
# One tenth of each label's training clips is held out to choose the epoch, which is this package's choice too;
# ``--select-on test`` is what many published results do, and flatters. ``--resume`` continues from the last epoch to
# the same weights as an uninterrupted run.
#
# Bad input ends with one line and exit code 2:
print("exit code", train.main(["--frames", "0"]))
