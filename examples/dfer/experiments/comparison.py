"""Two comparisons over seeds: attention layers in a small CNN, and encoders over the frames of a series."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfer.benchmarking.timing import interleaved_medians
from dfer.experiments.fitting import Fit, accuracy, fit, scores
from dfer.experiments.shipped_data import Examples, read_digits, read_japanese_vowels
from dfer.experiments.small_nets import ATTENTIONS, ENCODERS, SeriesNet, small_cnn
from dfer.models.wide_resnet18 import parameters

TRAINING_DIGITS = 500
TIMED_TOGETHER = 32


@dataclass(frozen=True)
class Comparison:
    """Nets by name, `reference` among them, and from a seed the examples to train and to test on."""

    title: str
    data: str
    reference: str
    nets: Mapping[str, Callable[[], nn.Module]]
    split: Callable[[int], tuple[Examples, Examples]]
    fit: Fit


def digits(epochs: int) -> Comparison:
    pictures = read_digits()

    def split(seed: int) -> tuple[Examples, Examples]:
        order = torch.randperm(len(pictures.labels), generator=torch.Generator().manual_seed(seed))
        return pictures.take(order[:TRAINING_DIGITS]), pictures.take(order[TRAINING_DIGITS:])

    rest = len(pictures.labels) - TRAINING_DIGITS
    return Comparison(
        "attention in a small CNN",
        f"scikit-learn's digits, {TRAINING_DIGITS:,} to train on and {rest:,} to test, drawn anew for each seed",
        "AGA",
        {name: partial(small_cnn, name, 10) for name in ATTENTIONS},
        split,
        Fit(epochs),
    )


def japanese_vowels(epochs: int) -> Comparison:
    training, test = read_japanese_vowels()
    longest = max(training.inputs.shape[1], test.inputs.shape[1])
    features, classes = training.inputs.shape[2], int(training.labels.max()) + 1
    return Comparison(
        "encoder over time",
        f"JapaneseVowels, its own parts for every seed: {len(training.labels)} series to train on and "
        f"{len(test.labels)} to test",
        "DTFormer",
        {name: partial(SeriesNet, name, features, classes, longest) for name in ENCODERS},
        lambda seed: (training, test),
        Fit(epochs),
    )


def accuracies(comparison: Comparison, seeds: int) -> Iterator[tuple[str, int, float]]:
    """Train and test every net with every seed, seed by seed; one thread, so that cores decide nothing."""
    torch.set_num_threads(1)
    for seed in range(seeds):
        training, test = comparison.split(seed)
        for name, make in comparison.nets.items():
            torch.manual_seed(seed)
            net = make()
            fit(net, training, comparison.fit, seed)
            yield name, seed, accuracy(net, test)


def costs(comparison: Comparison, seconds: float) -> dict[str, dict[str, Any]]:
    """Parameters, multiply-adds of one example, and milliseconds of a forward pass of several, timed in turn."""
    _, test = comparison.split(0)
    together = test.take(torch.arange(min(TIMED_TOGETHER, len(test.labels))))
    nets = {name: make().eval() for name, make in comparison.nets.items()}
    with torch.no_grad():
        runs = {name: partial(scores, net, together) for name, net in nets.items()}
        times = interleaved_medians(runs, seconds=seconds, device="cpu")
    return {
        name: {
            "parameters": parameters(net),
            "multiply_adds": multiply_adds(net, test.take(torch.arange(1))),
            "milliseconds": times[name],
        }
        for name, net in nets.items()
    }


def multiply_adds(net: nn.Module, example: Examples) -> int:
    """By FlopCounterMode on the meta device, with gradients: without, torch's encoder is one operator, not counted."""
    twin = copy.deepcopy(net).to("meta")
    mask = None if example.mask is None else example.mask.to("meta")
    with FlopCounterMode(display=False) as counter:
        scores(twin, Examples(example.inputs.to("meta"), example.labels, mask))
    return int(counter.get_total_flops()) // 2
