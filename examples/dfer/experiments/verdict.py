"""What a set of tests says: differences in points, and a verdict in words, whatever came out."""

from collections.abc import Mapping

from dfer.experiments.statistics import least_p

ALPHA = 0.05


def points(fraction: float, digits: int) -> str:
    """In per cent with its sign; what rounds to zero always has the same."""
    # -0.0 + 0.0 is 0.0.
    return f"{round(100 * fraction, digits) + 0.0:+.{digits}f}"


def verdict(corrected: Mapping[str, float], reference: str, seeds: int) -> str:
    """A sentence on each side of the threshold, and one where so few seeds could not have passed it.

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
