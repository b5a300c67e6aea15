"""Onset against offset: the same frames in opposite order. Averaging over time cannot tell them apart; DTFormer can."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW

from agdt_layers import DTFormer, TemporalMean, build_agdtnet
from dfer.rendering.clips import render_clips

T, SIZE, PEOPLE, SEEN = 4, 16, 460, 400


def trained_accuracy(temporal: nn.Module, frames: Tensor) -> float:
    """Train on the first people, test on the others; `frames` (people, T, C) are in the order of the onset."""
    torch.manual_seed(0)
    classifier = nn.Linear(frames.shape[-1], 2)
    optimiser = AdamW([*temporal.parameters(), *classifier.parameters()], lr=3e-4, weight_decay=0.05)
    for _ in range(9):
        for clips in torch.randperm(2 * SEEN).split(32):
            onset, labels = frames[clips // 2], clips % 2
            ordered = torch.where(labels[:, None, None] == 1, onset.flip(1), onset)
            optimiser.zero_grad()
            cross_entropy(classifier(temporal(ordered)), labels).backward()
            optimiser.step()
    temporal.eval()
    with torch.no_grad():
        answers = [classifier(temporal(clips)).argmax(dim=1) for clips in (frames[SEEN:], frames[SEEN:].flip(1))]
    return float(torch.cat([answers[0] == 0, answers[1] == 1]).float().mean())


def test_transformer_learns_the_order_and_the_mean_cannot() -> None:
    clips, labels, _ = render_clips("direction", people=PEOPLE, frames=T, size=SIZE, seed=0)
    # The grey values of a frame are its vector: what is compared is the temporal encoder alone.
    frames = clips[labels == 0].float().mean(dim=2).flatten(2)
    frames = (frames - frames[:SEEN].mean(dim=(0, 1))) / frames[:SEEN].std(dim=(0, 1))
    torch.manual_seed(0)
    assert trained_accuracy(DTFormer(SIZE * SIZE, depth=1, mlp_channels=512, max_frames=T), frames) > 0.85
    assert 0.42 < trained_accuracy(TemporalMean(), frames) < 0.58


def test_net_with_the_mean_ignores_the_order() -> None:
    """In training too: with equal logits for both labels of a pair there is nothing to learn from."""
    clips, _, _ = render_clips("direction", people=3, frames=T, size=32, seed=0)
    torch.manual_seed(0)
    net = build_agdtnet(2, num_frames=T, temporal="mean").double()
    for mode in (True, False):
        logits = net.train(mode)(clips.double() / 255)
        torch.testing.assert_close(logits[0::2], logits[1::2], rtol=0, atol=1e-9)
    net = build_agdtnet(2, num_frames=T).double().eval()
    logits = net(clips.double() / 255)
    assert float((logits[0::2] - logits[1::2]).detach().abs().amax()) > 1e-3
