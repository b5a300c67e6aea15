"""Scores of trained networks: by run, averaged over runs, compared with each other and with published scores."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from statistics import stdev
from typing import Any

import torch
from torch import Tensor

from dfer.errors import BadInput
from dfer.evaluation.answers import confusion_of
from dfer.evaluation.comparable import folds_in_words, why_not_comparable
from dfer.evaluation.evaluated_clips import EvaluatedClips
from dfer.evaluation.published import SCORES
from dfer.evaluation.scores import LEVEL, RESAMPLES, Resampled, Scores, draw_clips, interval, resample, scores_of
from dfer.training.trained_file import TrainedFacts


@dataclass(frozen=True)
class EvaluatedRun:
    name: str
    file: Path
    facts: TrainedFacts
    clips: EvaluatedClips
    probabilities: Tensor
    """(clips, classes)."""

    @cached_property
    def truths(self) -> Tensor:
        return torch.tensor(self.clips.truths)

    @cached_property
    def answers(self) -> Tensor:
        return self.probabilities.argmax(dim=1)

    @cached_property
    def confusion(self) -> Tensor:
        return confusion_of(self.truths, self.answers, len(self.facts.classes))

    @cached_property
    def scores(self) -> Scores:
        return scores_of(self.confusion)

    def same_clips(self, other: "EvaluatedRun") -> bool:
        (mine, others), truths = self._keys_beside(other), (self.clips.truths, other.clips.truths)
        return mine == others and truths[0] == truths[1]

    def shared_clips(self, other: "EvaluatedRun") -> int:
        mine, others = self._keys_beside(other)
        return len(set(mine) & set(others))

    def _keys_beside(self, other: "EvaluatedRun") -> tuple[list[str], list[str]]:
        """Keys to compare; only the names of clips if the frame sizes differ, since the contents then differ too."""
        keys = [list(run.clips.keys) for run in (self, other)]
        if self.facts.size != other.facts.size:
            keys = [[key.rpartition(" ")[0] for key in found] for found in keys]
        return keys[0], keys[1]


def make_report(runs: Sequence[EvaluatedRun], *, seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    classes = runs[0].facts.classes
    for run in runs[1:]:
        if run.facts.classes != classes:
            raise BadInput(
                f"{run.file} answers {', '.join(run.facts.classes)}, {runs[0].file} {', '.join(classes)}; "
                "evaluate nets of the same classes together"
            )
    same = all(run.same_clips(runs[0]) for run in runs)
    if not same:
        refuse_overlaps(runs)
    drawn = [draw_clips(run.truths, resamples, (seed, 0 if same else number)) for number, run in enumerate(runs)]
    resampled = [resample(run.answers == run.truths, clips) for run, clips in zip(runs, drawn, strict=True)]
    report: dict[str, Any] = {
        "classes": list(classes),
        "runs": [one_run(run, values) for run, values in zip(runs, resampled, strict=True)],
        "bootstrap": {"resamples": resamples, "seed": seed, "level": LEVEL, "drawn": "clips within each class"},
    }
    if len(runs) > 1:
        report["over_runs"] = over_runs(runs, resampled, same=same)
    if len(runs) > 1 and same:
        report["comparison"] = comparison(runs, resampled)
    report["published"] = published(runs)
    return report


def refuse_overlaps(runs: Sequence[EvaluatedRun]) -> None:
    """A mean over runs needs the same test clips (seeds) or disjoint ones (folds)."""
    for run, other in combinations(runs, 2):
        if shared := run.shared_clips(other):
            raise BadInput(
                f"{run.name} and {other.name} share {shared} of their {len(run.clips.keys)} and "
                f"{len(other.clips.keys)} test clips; runs are joined only if all are tested on the same clips, or no "
                "two on a common clip: evaluate them apart"
            )


def one_run(run: EvaluatedRun, values: Resampled) -> dict[str, Any]:
    facts = run.facts
    return {
        "name": run.name,
        "file": str(run.file),
        "trained_on": facts.trained_on,
        "epoch": facts.epoch,
        "epoch_selected_on": facts.epoch_selected_on,
        "clips": run.clips.described,
        "number_of_clips": len(run.clips.truths),
        "clips_trained_on": run.clips.trained_on,
        "clips_sha256": run.clips.sha256,
        "told_by_train": {"uar": facts.uar, "war": facts.war} if run.clips.own else None,
        **with_intervals(run.scores, values),
        "recall": dict(zip(facts.classes, run.scores.recall, strict=True)),
        "confusion": run.confusion.tolist(),
    }


def with_intervals(scores: Scores, values: Resampled) -> dict[str, Any]:
    return {
        "uar": scores.uar,
        "uar_interval": list(interval(values.uar)),
        "war": scores.war,
        "war_interval": list(interval(values.war)),
    }


def over_runs(runs: Sequence[EvaluatedRun], resampled: Sequence[Resampled], *, same: bool) -> dict[str, Any]:
    """Mean scores of the runs, with their standard deviation on the `same` clips, else with the pooled scores.

    The interval of the mean uses the same draws, averaged over the runs in each resample.
    """
    mean = Scores(
        war=sum(run.scores.war for run in runs) / len(runs),
        uar=sum(run.scores.uar for run in runs) / len(runs),
        recall=[mean_of([run.scores.recall[i] for run in runs]) for i in range(len(runs[0].facts.classes))],
    )
    values = Resampled(*(torch.stack(kind).mean(dim=0) for kind in zip(*resampled, strict=True)))
    confusion = torch.stack([run.confusion for run in runs]).sum(dim=0)
    found = {
        "runs": len(runs),
        "test_clips": "the same for all" if same else "no clip in two runs",
        **with_intervals(mean, values),
        "recall": dict(zip(runs[0].facts.classes, mean.recall, strict=True)),
        "confusion_summed": confusion.tolist(),
    }
    if same:
        found |= {f"{kind}_sd": stdev(getattr(run.scores, kind) for run in runs) for kind in ("uar", "war")}
    else:
        found["pooled"] = scores_of(confusion)._asdict()
    return found


def mean_of(recalls: Sequence[float | None]) -> float | None:
    there = [recall for recall in recalls if recall is not None]
    return sum(there) / len(there) if there else None


def comparison(runs: Sequence[EvaluatedRun], resampled: Sequence[Resampled]) -> list[dict[str, Any]]:
    """Every later run minus the first on the same clips, with intervals of the paired differences."""
    first, others = runs[0], runs[1:]
    found = []
    for run, values in zip(others, resampled[1:], strict=True):
        row: dict[str, Any] = {"run": run.name, "minus": first.name}
        for score in ("uar", "war"):
            low, high = interval(getattr(values, score) - getattr(resampled[0], score))
            row[score] = getattr(run.scores, score) - getattr(first.scores, score)
            row[f"{score}_interval"] = [low, high]
        found.append(row)
    return found


def published(runs: Sequence[EvaluatedRun]) -> dict[str, Any]:
    """The published rows of the data set, or the reason why there are none."""
    clips = [run.clips for run in runs]
    if why := why_not_comparable(clips):
        return {"why_not": why}
    table = SCORES[clips[0].settings.source]
    rows = []
    for row in table.rows:
        recall = dict(zip(table.classes, row.recall, strict=True)) if row.recall else {}
        rows.append(asdict(row) | {"source": table.source(row), "recall": recall})
    return {"table": table.number, "figure": table.figure, "rows": rows, "folds": folds_in_words(clips)}
