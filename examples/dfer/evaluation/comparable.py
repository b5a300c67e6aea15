"""Whether published scores are comparable: only if they were measured on the same test clips."""

from collections.abc import Sequence

from dfer.evaluation.evaluated_clips import EvaluatedClips
from dfer.evaluation.published import SCORES

# DFEW by fold; FERV39k; DAiSEE as in the paper's Table 1.
TEST_CLIPS = {"dfew": (2341, 2341, 2340, 2339, 2336), "ferv39k": (7847,), "daisee": (661,)}
PUBLISHED = "published scores are of DFEW, FERV39k and DAiSEE"


def why_not_comparable(runs: Sequence[EvaluatedClips]) -> str | None:
    """One sentence, or None if the published table may be shown."""
    sources = {clips.settings.source for clips in runs}
    other = next((clips for clips in runs if clips.settings.source not in SCORES), None)
    if other is not None:
        return f"No published table: {PUBLISHED}, these clips are {other.described}."
    if len(sources) > 1:
        return f"No published table: {PUBLISHED}, each with its own, and these runs are tested on several."
    if any(clips.settings.daisee_state for clips in runs):
        return (
            "No published table: the published scores on DAiSEE are of one label a clip, these of one state's levels."
        )
    for clips in runs:
        settings, count = clips.settings, len(clips.truths)
        source = settings.source
        if source == "daisee" and settings.daisee_parts == "official":
            return (
                "No published table: the paper's test clips are those of --daisee-parts paper, "
                "these are of DAiSEE's official test part."
            )
        expected = TEST_CLIPS[source][settings.fold - 1 if source == "dfew" else 0]
        if count != expected:
            return f"No published table: {clips.described} has {expected} published test clips, these are {count}."
    return None


def folds_in_words(runs: Sequence[EvaluatedClips]) -> str:
    """The DFEW folds of our scores; empty for other data sets."""
    if runs[0].settings.source != "dfew":
        return ""
    folds = sorted({clips.settings.fold for clips in runs})
    measured = f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}"
    if folds == [1, 2, 3, 4, 5]:
        measured = "the mean over folds 1 to 5"
    return f"Measured here: {measured}; the paper does not say on which of DFEW's folds its figures were measured."
