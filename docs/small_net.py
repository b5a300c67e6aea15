"""A small AGDTNet that the gallery trains in seconds: three stages of convolutions, AGA after the second."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agdt_layers import AdaptiveGlobalAttention, AGDTNet, build_agdtnet, insert_attention
from dfer.data.augmentation import normalise, to_unit
from dfer.rendering.clips import render_clips
from dfer.rendering.motion import EXPRESSIONS

FRAMES, SIZE, STEPS, BATCH = 4, 48, 60, 24


class Trained(NamedTuple):
    """A net in eval mode, its loss at every step, and its accuracy on people it was not trained on."""

    net: AGDTNet
    losses: list[float]
    accuracy: float


@functools.cache
def trained_net(*, gate: bool) -> Trained:
    """Train on seven rendered expressions; both values of gate see the same clips in the same order."""
    torch.manual_seed(0)
    clips, labels = faces("training")
    net = build_agdtnet(len(EXPRESSIONS), num_frames=FRAMES, backbone=_backbone(gate))
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-3, total_steps=STEPS)
    order = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(STEPS):
        chosen = torch.randint(len(labels), (BATCH,), generator=order)
        loss = cross_entropy(net(normalise(to_unit(clips[chosen]))), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    net.eval()
    unseen, truth = faces("test")
    with torch.no_grad():
        right = net(normalise(to_unit(unseen))).argmax(dim=1) == truth
    return Trained(net, losses, right.float().mean().item())


@functools.cache
def faces(part: str) -> tuple[Tensor, Tensor]:
    """Clips (B, T, 3, H, W) uint8 and labels (B,) of "training" or "test": no person is in both."""
    people, seed = {"training": (36, 1), "test": (12, 2)}[part]
    rendered = render_clips("expressions", people=people, frames=FRAMES, size=SIZE, seed=seed)
    return rendered.clips, rendered.labels


def _backbone(gate: bool) -> nn.Sequential:
    widths = (3, 24, 48, 96)
    backbone = nn.Sequential(*(_stage(*pair) for pair in itertools.pairwise(widths)))
    attention = functools.partial(AdaptiveGlobalAttention, gate=gate)
    insert_attention(backbone, {"1": attention}, example_input=torch.zeros(1, 3, SIZE, SIZE))
    return backbone


def _stage(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )
