"""WAR, UAR and per-class recall from a confusion matrix (rows: the truth, columns: the answer)."""

from typing import NamedTuple

from torch import Tensor


class Scores(NamedTuple):
    war: float
    uar: float
    recall: list[float | None]
    """None for a class without clips: it has no recall and does not count in UAR."""


def scores_of(confusion: Tensor) -> Scores:
    confusion = confusion.double()
    right, clips = confusion.diagonal(), confusion.sum(dim=1)
    present = clips > 0
    recall = right / clips.clamp(min=1)
    return Scores(
        war=float(right.sum() / clips.sum()),
        uar=float(recall[present].mean()),
        recall=[float(r) if there else None for r, there in zip(recall, present, strict=True)],
    )
