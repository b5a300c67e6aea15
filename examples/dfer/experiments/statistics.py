"""Statistics over seeds: spread, intervals, exact paired tests between rows, and a verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

# All 2 ** n sign patterns are enumerated.
MOST_SEEDS = 16
ALPHA = 0.05


@dataclass(frozen=True)
class Paired:
    """A row minus another, over common seeds.

    Attributes:
        difference: mean over seeds.
        interval: the 95 % interval of Student's t around it.
        p: of the sign-flip test, two-sided.
    """

    difference: float
    interval: tuple[float, float]
    p: float


def standard_deviation(values: Sequence[float]) -> float:
    """With n - 1 in the denominator."""
    return float(np.std(values, ddof=1))


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean of two values or more."""
    mean = float(np.mean(values))
    half = t_quantile((1 + level) / 2, len(values) - 1) * standard_deviation(values) / math.sqrt(len(values))
    return mean - half, mean + half


def paired(row: Sequence[float], other: Sequence[float]) -> Paired:
    """Compare two rows, given their scores for the same seeds in the same order."""
    differences = [a - b for a, b in zip(row, other, strict=True)]
    return Paired(float(np.mean(differences)), mean_interval(differences), sign_flip(differences))


def sign_flip(differences: Sequence[float]) -> float:
    """The exact two-sided p of the sign-flip permutation test.

    If both rows were equal, the signs of the differences would be random. p is the fraction of the 2 ** n patterns
    of signs whose mean is at least as far from 0 as the observed one; its minimum is 2 / 2 ** n.
    """
    if not 1 <= len(differences) <= MOST_SEEDS:
        raise ValueError(f"sign_flip expects 1 to {MOST_SEEDS} differences, got {len(differences)}.")
    values = np.asarray(differences, dtype=np.float64)
    signs = np.array(list(product((1.0, -1.0), repeat=len(values))))
    sums = np.abs(signs @ values)
    # Sums in another order may differ in their last bits.
    return float(np.mean(sums >= sums[0] - 1e-12 * (1 + np.abs(values).sum())))


def least_p(seeds: int) -> float:
    """The smallest p that sign_flip can give for this many seeds."""
    return min(1.0, 2 / 2**seeds)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's correction of several p values, each at most 1 (Holm, 1979)."""
    corrected = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = highest
    return corrected


def points(fraction: float, digits: int) -> str:
    """In per cent with its sign; values that round to zero are +0."""
    # -0.0 + 0.0 is 0.0.
    return f"{round(100 * fraction, digits) + 0.0:+.{digits}f}"


def verdict(corrected: Mapping[str, float], reference: str, seeds: int) -> str:
    """Sentences on the rows on each side of the threshold, and one if there are too few seeds to reach it.

    Args:
        corrected: Holm's p of each row that was tested with the reference.
        reference: its name.
        seeds: how many each row has.
    """
    if not corrected:
        return f"Nothing is tested: that needs {reference} among the rows, and another."
    different = [row for row, p in corrected.items() if p < ALPHA]
    alike = [row for row, p in corrected.items() if p >= ALPHA]
    sentences = []
    if different:
        sentences.append(f"Different from {reference} at the {ALPHA:.0%} level, after Holm: {', '.join(different)}.")
    if alike:
        sentences.append(f"No significant difference from {reference}: {', '.join(alike)}.")
    least = least_p(seeds)
    after = min(1.0, least * len(corrected))
    if after >= ALPHA:
        sentences.append(
            f"With {seeds} seeds no p can be below {least:.4g}, nor below {after:.4g} after Holm's correction for "
            f"{len(corrected)} tests: so few cannot show a difference at that level."
        )
    return " ".join(sentences)


def t_quantile(probability: float, degrees: int) -> float:
    """Of Student's t distribution, for a probability from 0.5 to below 1, by bisection."""
    low, high = 0.0, 1.0
    while t_distribution(high, degrees) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_distribution(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def t_distribution(t: float, degrees: int) -> float:
    """P(T <= t), by the finite sums for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2 == 1
    # cos, 2/3 cos^3, (2*4)/(3*5) cos^5, ... for odd degrees; 1, 1/2 cos^2, (1*3)/(2*4) cos^4, ... for even ones.
    term, total, power = (cosine, 0.0, 1) if odd else (1.0, 0.0, 0)
    while power <= degrees - 2:
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
        power += 2
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + 0.5 * inside
