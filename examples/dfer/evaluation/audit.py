"""A result and what it rests on: the clips of every fold, what was predicted for them, and what is wrong with both."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import sqrt

import torch
from torch import Tensor

from dfer.data.checks import named
from dfer.data.clips import ClipsOnDisk, content_hash
from dfer.data.copies import copies, near_copies
from dfer.data.data_set import DataSet, ListedClip
from dfer.evaluation.answers import confusion_of
from dfer.evaluation.predictions import Prediction, tail
from dfer.evaluation.scores import RESAMPLES, draw_clips, interval, resample, scores_of
from dfer.evaluation.tables import table, with_interval

# By the publishers: training and test clips of every fold; the fewest and the most frames of a clip.
CLIPS = {
    "dfew": ((9356, 2341), (9356, 2341), (9357, 2340), (9358, 2339), (9361, 2336)),
    "ferv39k": ((31088, 7847),),
}
FRAMES = {"dfew": (11, 847), "ferv39k": (8, 47)}
# Grey levels between the darkest and the brightest spot of a frame that shows nothing.
PLAIN = 8
CHECKS = ("clips", "frames", "labels", "classes", "parts", "persons", "copies", "folds", "predictions", "numbering")


@dataclass(frozen=True)
class Result:
    """`predictions` has one list for each of the folds, or one for all; `size` is that of frames, None without any."""

    source: str
    folds: dict[int, DataSet]
    predictions: list[list[Prediction]]
    names: tuple[str, ...]
    size: int | None

    @cached_property
    def folders(self) -> int:
        """How many folders of a path tell the clips apart."""
        paths = {str(clip.frames) for fold in self.folds for part in self.parts(fold).values() for clip in part}
        return next((n for n in range(1, 9) if len({tail(path, n) for path in paths}) == len(paths)), 9)

    def parts(self, fold: int) -> dict[str, list[ListedClip]]:
        data = self.folds[fold]
        return {"training": data.training, "validation": data.validation or [], "test": data.test}

    def keys(self, fold: int, *parts: str) -> list[str]:
        """Clips of the parts, or of all, by what all programs call them."""
        chosen = [clip for part, clips in self.parts(fold).items() if part in parts or not parts for clip in clips]
        return [tail(str(clip.frames), self.folders) for clip in chosen]

    @cached_property
    def written(self) -> dict[str, str]:
        """The path of each clip, by its key."""
        clips = (clip for fold in self.folds for part in self.parts(fold).values() for clip in part)
        return {tail(str(clip.frames), self.folders): str(clip.frames) for clip in clips}

    def predicted(self, fold: int) -> dict[str, list[Prediction]]:
        """The predictions of each clip: one, unless the file repeats it."""
        found: dict[str, list[Prediction]] = {}
        for prediction in self.predictions[list(self.folds).index(fold) if len(self.predictions) > 1 else 0]:
            found.setdefault(tail(prediction.clip, self.folders), []).append(prediction)
        return found

    @cached_property
    def unasked(self) -> dict[str, str]:
        """The checks for which something lacks, and what."""
        who = any(clip.subject for fold in self.folds for part in self.parts(fold).values() for clip in part)
        lacking = {
            "the publisher's counts are not known here": ("clips",) * (self.source not in CLIPS),
            "no frames were given": ("frames", "copies") * (self.size is None),
            "no persons are known; --person finds them in paths": ("persons",) * (not who),
            "there is one fold": ("folds",) * (len(self.folds) == 1),
            "no predictions were given": ("predictions", "numbering") * (not self.predictions),
        }
        return {check: why for why, checks in lacking.items() for check in checks}

    @cached_property
    def answers(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Truths and first answers of the test clips that have a prediction, by fold."""
        found = {}
        for fold, data in self.folds.items() if self.predictions else ():
            given, truths = self.predicted(fold), dict(zip(self.keys(fold, "test"), data.test, strict=True))
            if there := [key for key in truths if key in given]:
                given_here = [given[key][0].answer for key in there]
                found[fold] = torch.tensor([truths[key].label for key in there]), torch.tensor(given_here)
        return found


def audit(result: Result) -> dict[str, list[str]]:
    """What each check found, in lines that name the folds in which it was found."""
    folds: dict[tuple[str, str], list[int]] = {}
    for fold in result.folds:
        for look in (at_lists, at_frames, at_folds, at_predictions):
            for finding in look(result, fold):
                folds.setdefault(finding, []).append(fold)
    found: dict[str, list[str]] = {check: [] for check in CHECKS}
    for (check, line), numbers in folds.items():
        where = f"fold {', '.join(map(str, numbers))}: " if len(result.folds) > 1 else ""
        found[check].append(where + line)
    return found | {"numbering": list(at_numbering(result))}


def some(
    check: str, items: Sequence[str], what: str, written: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str]]:
    """`written` has the clips' names as people wrote them, by the keys in `items`."""
    if items:
        yield check, f"{len(items)} {what}, first {written[items[0]] if written else items[0]}"


def at_lists(result: Result, fold: int) -> Iterator[tuple[str, str]]:
    parts, published = result.parts(fold), CLIPS.get(result.source)
    for place, part in enumerate(("training", "test")):
        if published and (count := published[fold - 1][place]) != len(parts[part]):
            yield "clips", f"{len(parts[part])} {part} clips, published are {count}"
        if lacking := sorted(set(range(len(result.names))) - {clip.label for clip in parts[part]}):
            yield "classes", f"no {part} clip shows {named(lacking, result.names)}"
    for part in parts:
        again = [key for key, count in Counter(result.keys(fold, part)).items() if count > 1]
        yield from some("labels", again, f"{part} clips are listed more than once", result.written)
    given: dict[str, set[int]] = {}
    for other in result.folds:
        clips = (clip for part in result.parts(other).values() for clip in part)
        for key, clip in zip(result.keys(other), clips, strict=True):
            given.setdefault(key, set()).add(clip.label)
    torn = [key for key in dict.fromkeys(result.keys(fold)) if len(given[key]) > 1]
    yield from some("labels", torn, "clips have two labels", result.written)
    for one, other_part in combinations(parts, 2):
        both = sorted(set(result.keys(fold, one)) & set(result.keys(fold, other_part)))
        yield from some("parts", both, f"{other_part} clips are {one} clips too", result.written)
        who, others = ({clip.subject for clip in parts[part]} - {None} for part in (one, other_part))
        yield from some("persons", sorted(map(str, who & others)), f"persons are in {one} and {other_part}")


def at_frames(result: Result, fold: int) -> Iterator[tuple[str, str]]:
    if result.size is None:
        return
    yield from (("frames", remark) for remark in result.folds[fold].remarks)
    parts = {part: clips for part, clips in result.parts(fold).items() if clips}
    fewest, most = FRAMES.get(result.source, (1, 10**9))
    other = [str(c.frames) for clips in parts.values() for c in clips if not fewest <= len(c.frames) <= most]
    yield from some("frames", other, f"clips have fewer than {fewest} or more than {most} frames")
    looks = ((str(c.frames), c.frames.load([len(c.frames) // 2], result.size)) for part in parts.values() for c in part)
    plain = [name for name, frame in looks if int(frame.max()) - int(frame.min()) <= PLAIN]
    yield from some("frames", plain, "clips are of one plain colour")
    sources = {part: ClipsOnDisk(clips, size=result.size, segments=4, per_segment=1) for part, clips in parts.items()}
    contents = {part: [content_hash(one, i) for i in range(len(one.labels))] for part, one in sources.items()}
    yield from (("copies", remark) for remark in (*copies(sources, contents), *near_copies(sources)))


def at_folds(result: Result, fold: int) -> Iterator[tuple[str, str]]:
    """Each clip must be tested once, and be in every fold."""
    tested = {other: set(result.keys(other, "test")) for other in result.folds}
    known, written = {key for other in result.folds for key in result.keys(other)}, result.written
    for other in result.folds:
        if other < fold:
            again = sorted(tested[fold] & tested[other])
            yield from some("folds", again, f"test clips are tested in fold {other} too", written)
    yield from some("folds", sorted(known - set(result.keys(fold))), "clips of other folds are left out", written)
    if len(result.folds) > 1 and fold == max(result.folds):
        never = sorted(known - set().union(*tested.values()))
        yield from some("folds", never, "clips are tested in no fold", written)


def at_predictions(result: Result, fold: int) -> Iterator[tuple[str, str]]:
    if not result.predictions:
        return
    given, test = result.predicted(fold), dict.fromkeys(result.keys(fold, "test"))
    folds = (fold,) if len(result.predictions) > 1 else result.folds
    own = {key for other in folds for key in result.keys(other, "test")}
    missing = [key for key in test if key not in given]
    yield from some("predictions", missing, f"of {len(test)} test clips have no prediction", result.written)
    # Named as the predictions name them.
    written = {key: predictions[0].clip for key, predictions in given.items()}
    others = [key for key in given if key not in own]
    yield from some("predictions", others, "predictions are of no test clip", written)
    twice = [key for key, predictions in given.items() if len(predictions) > 1]
    yield from some("predictions", twice, "clips are predicted more than once", written)
    if fold in result.answers and len(answers := result.answers[fold][1].unique()) == 1:
        yield "predictions", f"all answers are {result.names[int(answers)]}"


def at_numbering(result: Result) -> Iterator[str]:
    """Whether more answers are right than chance would make of it, if the predicted classes are counted otherwise."""
    if not result.answers:
        return
    truths, answers = (torch.cat(every) for every in zip(*result.answers.values(), strict=True))
    right, order = (
        float((answers == truths).double().mean()),
        sorted(range(len(result.names)), key=result.names.__getitem__),
    )
    counted = {"one lower": answers - 1, "one higher": answers + 1, "by the alphabet": torch.tensor(order)[answers]}
    for how, other in counted.items():
        now = float((other == truths).double().mean())
        if now - right > max(0.05, 3 / sqrt(2 * len(truths))):
            yield f"{100 * right:.1f} % are right; with classes numbered {how}, {100 * now:.1f} %"


def score_table(result: Result, published: dict[str, float | None]) -> str:
    """Of each fold, of their mean and of all clips pooled; and how far a published figure is from the mean."""
    sets = list(result.answers.values())
    groups = {f"fold {fold}" if len(sets) > 1 else "test clips": [one] for fold, one in result.answers.items()}
    if len(sets) > 1:
        groups[f"mean of {len(sets)} folds"] = sets
        groups["all clips pooled"] = [(torch.cat([truths for truths, _ in sets]), torch.cat([a for _, a in sets]))]
    rows, text = [], ""
    for name, group in groups.items():
        scores = [scores_of(confusion_of(*pair, len(result.names))) for pair in group]
        drawn = [resample(a == t, draw_clips(t, RESAMPLES, (0, n))) for n, (t, a) in enumerate(group)]
        rows.append([name, str(sum(len(truths) for truths, _ in group))])
        for kind in ("uar", "war"):
            value = sum(getattr(one, kind) for one in scores) / len(group)
            low, high = interval(torch.stack([getattr(one, kind) for one in drawn]).mean(dim=0))
            rows[-1].append(with_interval(value, (low, high)))
            if (figure := published[kind]) is not None and len(group) == len(sets):
                verdict = "inside" if low <= figure / 100 <= high else "outside"
                text += f"\n{name}: {kind.upper()} differs by {100 * value - figure:+.2f} points from the published "
                text += f"{figure:.2f}, which is {verdict} the interval.\n"
    note = f"\nIn brackets: 95 % bootstrap intervals over clips, drawn within each class ({RESAMPLES} resamples).\n"
    return table(["", "clips", "UAR, %", "WAR, %"], rows) + note + text
