"""The statistics over seeds, beside published tables and the definitions written out."""

import math
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer.experiments.statistics import (
    MOST_SEEDS,
    holm,
    least_p,
    mean_interval,
    paired,
    points,
    sign_flip,
    standard_deviation,
    t_distribution,
    t_quantile,
    verdict,
)


def literal_sign_flip(differences: list[int]) -> float:
    found = abs(sum(differences))
    patterns = list(product((1, -1), repeat=len(differences)))
    as_far = [signs for signs in patterns if abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= found]
    return len(as_far) / len(patterns)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8))
def test_sign_flip_is_the_share_of_sign_patterns_at_least_as_far_from_zero(differences: list[int]) -> None:
    assert sign_flip(differences) == literal_sign_flip(differences)


@pytest.mark.parametrize("tenths", [*permutations([7, 6, -6]), *permutations([3, -1, -3])])
def test_sums_that_differ_in_their_last_bits_count_as_equal(tenths: tuple[int, ...]) -> None:
    assert sign_flip([0.1 * tenth for tenth in tenths]) == literal_sign_flip(list(tenths))


def test_sign_flip_by_hand() -> None:
    # 8 patterns; the sum 6 is reached by +++ and ---, and no other.
    assert sign_flip([1, 2, 3]) == 2 / 8
    # |sum| = 4: +++, --- (6) do, and -++ and +-- (4) do.
    assert sign_flip([-1, 2, 3]) == 4 / 8
    assert sign_flip([0.0, 0.0]) == 1


@pytest.mark.parametrize("seeds", [1, 2, 5, 10])
def test_least_p_is_attained(seeds: int) -> None:
    assert sign_flip([0.1 + 0.01 * i for i in range(seeds)]) == least_p(seeds)
    assert least_p(5) == 1 / 16


@pytest.mark.parametrize("count", [0, MOST_SEEDS + 1])
def test_sign_flip_refuses_too_many_differences(count: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {MOST_SEEDS} differences, got {count}"):
        sign_flip([1.0] * count)


@pytest.mark.parametrize(
    ("probability", "degrees", "printed"),
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 4, 2.776), (0.975, 9, 2.262), (0.95, 5, 2.015), (0.995, 30, 2.750)],
)
def test_quantiles_of_t_match_printed_tables(probability: float, degrees: int, printed: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(printed, abs=6e-4)
    assert t_distribution(t_quantile(probability, degrees), degrees) == pytest.approx(probability, abs=1e-12)


def test_mean_interval_and_standard_deviation_by_hand() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert standard_deviation(values) == pytest.approx(math.sqrt(10 / 4))
    half = 2.7764451 * math.sqrt(10 / 4) / math.sqrt(5)
    assert mean_interval(values) == pytest.approx((3 - half, 3 + half))


def test_rows_are_paired_by_seed() -> None:
    """A constant step between rows whose seeds differ widely: unpaired, it would drown."""
    other = [0.2, 0.9, 0.4, 0.7, 0.5]
    result = paired([value + 0.01 for value in other], other)
    assert result.difference == pytest.approx(0.01)
    assert result.interval == pytest.approx((0.01, 0.01))
    assert result.p == 1 / 16
    with pytest.raises(ValueError, match=r"shorter|longer"):
        paired([0.1, 0.2], [0.1])


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, 0.04; a later one is no smaller than one before it.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_verdict_names_both_sides() -> None:
    text = verdict({"a": 0.03, "b": 0.05, "c": 0.7}, "ours", 10)
    assert text == "Different from ours at the 5% level, after Holm: a. No significant difference from ours: b, c."


def test_verdict_reports_too_few_seeds() -> None:
    text = verdict({"a": 0.125, "b": 1.0}, "ours", 5)
    assert text.startswith("No significant difference from ours: a, b. With 5 seeds no p can be below 0.0625, nor")
    assert "below 0.125 after Holm's correction for 2 tests" in text
    assert "Nothing is tested" in verdict({}, "ours", 5)


@pytest.mark.parametrize(("fraction", "text"), [(0.0123, "+1.2"), (-0.0123, "-1.2"), (-1e-9, "+0.0"), (1e-9, "+0.0")])
def test_points_that_round_to_zero_have_one_sign(fraction: float, text: str) -> None:
    assert points(fraction, 1) == text
