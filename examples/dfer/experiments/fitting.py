"""Train a small net for a fixed number of epochs and count what it gets right: no epoch is chosen, by any data."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dfer.experiments.shipped_data import Examples


@dataclass(frozen=True)
class Fit:
    epochs: int
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05


def fit(net: nn.Module, examples: Examples, settings: Fit, seed: int) -> None:
    """AdamW under one cycle of the learning rate; the seed decides the order and the dropout."""
    count = len(examples.labels)
    steps = -(-count // settings.batch_size)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps * settings.epochs, pct_start=0.2
    )
    torch.manual_seed(seed)
    net.train()
    for _ in range(settings.epochs):
        for chosen in torch.randperm(count).split(settings.batch_size):
            batch = examples.take(chosen)
            loss = cross_entropy(scores(net, batch), batch.labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def accuracy(net: nn.Module, examples: Examples) -> float:
    net.eval()
    with torch.no_grad():
        return float((scores(net, examples).argmax(dim=1) == examples.labels).double().mean())


def scores(net: nn.Module, examples: Examples) -> Tensor:
    return net(examples.inputs) if examples.mask is None else net(examples.inputs, examples.mask)
