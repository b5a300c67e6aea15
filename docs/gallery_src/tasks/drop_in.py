"""
Drop it into your CNN
=====================

Attention can follow any submodule of any 2-D CNN whose output is a feature map (N, C, H, W). The CNN's code stays as it
is, its pretrained file loads before and after, and the attention can be removed without a trace.

One layer, by hand, is one line. It keeps shape, dtype and memory format. Images and clips go through the same layer;
for clips whose frames are folded into the batch, say how many frames each has. Needs nothing beside this package.
"""

import functools

import torch
from torch import nn

from agdt_layers import (
    AdaptiveGlobalAttention,
    FrameWise,
    ResNet18,
    build_agdtnet,
    insert_attention,
    remove_attention,
)

attention = AdaptiveGlobalAttention(64)
print(attention(torch.rand(2, 64, 28, 28)).shape)
print(attention(torch.rand(2, 8, 64, 28, 28)).shape)
print(attention(torch.rand(2 * 8, 64, 28, 28), num_frames=8).shape)

# %%
# In a CNN of your own, before and after:
#
# .. code-block:: diff
#
#      self.layer2 = stage(64, 128)
#    + self.attention = AdaptiveGlobalAttention(128)
#      ...
#    - x = self.layer2(x)
#    + x = self.attention(self.layer2(x))
#
# Into an existing model
# ----------------------
# ``dry_run=True`` shows what would happen: where, how many channels, at what cost. Any example input will do; not the
# model itself is run on it but a copy without values.
host = ResNet18()
print(insert_attention(host, ["layer2", "layer3"], example_input=torch.rand(1, 3, 112, 112), dry_run=True))

# %%
# A name may contain ``*``: ``layer3.*`` is every block of layer3. Pass settings with ``functools.partial``. With
# ``residual_scale=True`` the layer is the identity until training moves it, so that a pretrained model starts as
# exactly what it was.
identity = functools.partial(AdaptiveGlobalAttention, residual_scale=True)
images = torch.rand(2, 3, 112, 112)
with torch.no_grad():
    before = host.eval()(images)
    insert_attention(host, {"layer2": identity, "layer3.*": identity}, example_input=images)
    after = host(images)
print("same output, bit for bit:", torch.equal(before, after))
print("new keys:", *sorted(key for key in host.state_dict() if "layer2.agdt" in key)[:3], "...")

# %%
# And remove it again.
remove_attention(host)
print(any("agdt" in key for key in host.state_dict()))

# %%
# Maps with the channels last
# ---------------------------
# Some models, Swin among them, keep their maps as (N, H, W, C). Trial runs at other sizes show which axis holds the
# channels. Where they do not, because the model takes one size only or pools to a fixed size, ``insert_attention`` asks
# for ``channels_last=True`` or ``False``, or a dict of these by name. Maps with the channels last are permuted for the
# attention and back, and the keys are ``<submodule>.agdt_attention.layer.*``.


class Mixer(nn.Module):
    """A block on maps (N, H, W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(32)
        self.mlp = nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(self.norm(x))


class Permute(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1)


swin_like = nn.Sequential(nn.Conv2d(3, 32, 4, stride=4), Permute(), Mixer())
plan = insert_attention(swin_like, ["2"], example_input=images)
print("channels last:", plan.placements[0].channels_last, "channels:", plan.placements[0].channels)
print(next(key for key in swin_like.state_dict() if "agdt" in key))

# %%
# Tools that replace layers
# -------------------------
# SyncBatchNorm conversion, conv-bn fusion and quantisation replace single layers, and attention after such a layer is
# lost with it. ``insert_attention`` warns of this and says what to do; after a block there is nothing to warn of.
print(insert_attention(ResNet18(), ["layer2.0.bn1"], example_input=images, dry_run=True).warnings[0])

# %%
# A compiled model is compiled again at its next call, now with the attention. Where ``torch.compile`` wraps a part of
# the model, name the module inside: ``layer2._orig_mod``. Everything else comes after the insertion:
# DistributedDataParallel, FSDP, tracing, activation checkpointing.

# %%
# Clips through an image model
# ----------------------------
# :class:`~agdt_layers.FrameWise` runs an image model on every frame and tells the attention inside, for this one call,
# which frames belong together. Padded frames are marked in a mask: True where a frame is real.
insert_attention(host, ["layer2", "layer3"], example_input=images)
encoder = FrameWise(host).eval()
clips = torch.rand(2, 6, 3, 64, 64)
mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
with torch.no_grad():
    print(encoder(clips, mask=mask).shape)

# %%
# The whole network around your backbone
# --------------------------------------
# ``build_agdtnet`` adds frame vectors, a DTFormer and a classifier to any backbone whose output is a feature map.
mine = nn.Sequential(
    nn.Sequential(nn.Conv2d(3, 32, 3, stride=4, padding=1), nn.ReLU()),
    nn.Sequential(nn.Conv2d(32, 64, 3, stride=4, padding=1), nn.ReLU()),
)
insert_attention(mine, ["0"], example_input=images)
net = build_agdtnet(num_classes=7, num_frames=6, backbone=mine).eval()
with torch.no_grad():
    print(net(clips, mask=mask).shape)

# %%
# timm and mmcv
# -------------
# ``insert_attention`` works on timm's models as on any other. timm and mmcv can also make the attention layers
# themselves, each with arguments of its own. timm's EfficientNets pass the width and the activation of a bottleneck,
# which AGA does not have; mmcv takes a class and passes ``in_channels``.


def se_layer(channels, rd_ratio=None, act_layer=None, **factory):
    return AdaptiveGlobalAttention(channels, **factory)


class MMCVAttention:
    def __new__(cls, in_channels, **settings):
        return AdaptiveGlobalAttention(in_channels, **settings)


print(se_layer(64, rd_ratio=0.25, act_layer=nn.SiLU, device="cpu").channels)
print(MMCVAttention(in_channels=64, gate=False).channels)

# %%
# .. code-block:: python
#
#     timm.create_model("resnet18", block_args=dict(attn_layer=AdaptiveGlobalAttention))
#     timm.create_model("efficientnet_b0", se_layer=se_layer)
#
#     # mmcv: register the class once, then name it in the config
#     MODELS.register_module(module=MMCVAttention)
#     plugins = [dict(cfg=dict(type="MMCVAttention"), stages=(False, True, True, False), position="after_conv3")]
#
# When something does not fit
# ---------------------------
# Every error message says what was expected and what came, and suggests a fix.
for misuse in (
    lambda: AdaptiveGlobalAttention(64)(torch.rand(2, 28, 28, 64)),
    lambda: insert_attention(ResNet18(), ["layer_2"], example_input=images),
    lambda: AdaptiveGlobalAttention(64, num_frames=8)(torch.rand(12, 64, 28, 28)),
):
    try:
        misuse()
    except ValueError as error:
        print(error, end="\n\n")
