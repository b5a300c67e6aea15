"""Reports on one or several networks: by run, over runs, compared."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import one_hot

from dfer.errors import BadInput
from dfer.evaluation import comparable
from dfer.evaluation.evaluated_clips import EvaluatedClips
from dfer.evaluation.report import EvaluatedRun, make_report
from dfer.evaluation.tables import markdown
from dfer.training.settings import ClipSettings
from dfer.training.trained_file import TrainedFacts
from helpers.tiny_runs import NAMES, coloured_clips

TRUTHS = [0, 0, 0, 0, 1, 1, 1, 1]
GOOD, BAD = [0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 2, 1, 1, 2, 2, 1]


def facts(**changes: Any) -> TrainedFacts:
    given: dict[str, Any] = {"classes": NAMES, "mean": (0.0,) * 3, "std": (1.0,) * 3, "size": 16, "frames": 2}
    rest = {"frames_per_segment": 1, "net": {}, "trained_on": "a list", "epoch": 3, "epoch_selected_on": "validation"}
    return TrainedFacts(**{**given, **rest, "uar": 0.5, "war": 0.5, "recall": (None,) * 3, **changes})


def run(
    name: str,
    answers: list[int],
    *,
    truths: list[int] = TRUTHS,
    clips: str = "clip",
    keys: list[str] | None = None,
    **given: Any,
) -> EvaluatedRun:
    settings = ClipSettings(labels="expressions", frames=2, frames_per_segment=None, size=16)
    keys = keys or [f"{clips}{index} {index}" for index in range(len(truths))]
    shown = EvaluatedClips(coloured_clips(truths), tuple(truths), tuple(keys), settings, False, None, ())
    return EvaluatedRun(name, Path(name), facts(**given), shown, one_hot(torch.tensor(answers), 3).double())


def test_one_run() -> None:
    report = make_report([run("one", BAD)], seed=0)
    (row,) = report["runs"]
    assert row["war"] == 4 / 8
    assert row["uar"] == pytest.approx((2 / 4 + 2 / 4) / 2)
    assert row["recall"] == {"dark": 0.5, "grey": 0.5, "bright": None}
    assert row["confusion"] == [[2, 1, 1], [0, 2, 2], [0, 0, 0]]
    low, high = row["uar_interval"]
    assert 0 <= low < 0.5 < high <= 1
    assert "over_runs" not in report
    assert "comparison" not in report
    assert report == make_report([run("one", BAD)], seed=0), "the seed decides"
    table = markdown(report)
    assert f"| one | 8 | 50.00 [{100 * low:.2f}, {100 * high:.2f}] | 50.00" in table
    assert "| 50.0 | 50.0 | - |" in table
    assert "| bright | 0 | 0 | 0 |" in table


def test_folds_are_averaged_and_pooled() -> None:
    """Folds of different sizes: the mean WAR of the folds is not the WAR of all clips."""
    folds = [run("one", GOOD, clips="a"), run("two", [1, 1, 1], truths=[0, 1, 1], clips="b")]
    report = make_report(folds, seed=0)
    over = report["over_runs"]
    assert over["war"] == pytest.approx((7 / 8 + 2 / 3) / 2)
    assert over["uar"] == pytest.approx(((3 / 4 + 1) / 2 + (0 + 1) / 2) / 2)
    assert over["pooled"]["war"] == pytest.approx(9 / 11)
    assert over["pooled"]["uar"] == pytest.approx((3 / 5 + 6 / 6) / 2)
    assert over["confusion_summed"] == [[3, 2, 0], [0, 6, 0], [0, 0, 0]]
    assert over["recall"] == {"dark": pytest.approx(3 / 8), "grey": 1.0, "bright": None}
    low, high = over["war_interval"]
    assert low < over["war"] < high
    assert "comparison" not in report, "other clips cannot be compared one by one"
    assert "| mean of 2, folds |  | " in markdown(report)
    assert "The runs share no test clips, as with folds" in markdown(report)
    assert "| all clips pooled | 11 | 80.00 | 81.82 |" in markdown(report)


def test_class_missing_in_one_fold_is_averaged_over_the_others() -> None:
    folds = [run("one", [0, 2], truths=[0, 2], clips="a"), run("two", [0, 0], truths=[0, 0], clips="b")]
    assert make_report(folds, seed=0)["over_runs"]["recall"] == {"dark": 1.0, "grey": None, "bright": 1.0}


def test_runs_on_the_same_clips_are_compared() -> None:
    truths = TRUTHS * 20
    report = make_report([run("bad", BAD * 20, truths=truths), run("good", GOOD * 20, truths=truths)], seed=0)
    (row,) = report["comparison"]
    assert (row["run"], row["minus"]) == ("good", "bad")
    assert row["war"] == pytest.approx(3 / 8)
    assert row["uar"] == pytest.approx(3 / 8)
    low, high = row["uar_interval"]
    assert 0 < low < 3 / 8 < high
    assert "pooled" not in report["over_runs"]
    assert "| mean of 2, the same clips |  | " in markdown(report)
    assert report["over_runs"]["war_sd"] == pytest.approx(3 / 8 / 2**0.5)
    assert "a standard deviation of 26.52 (UAR) and 26.52 (WAR) points" in markdown(report)
    assert "excludes 0" in markdown(report)


def test_differences_are_paired() -> None:
    """Runs with the same correct clips differ by 0 in every resample."""
    other = [2 if answer != truth else answer for truth, answer in zip(TRUTHS, BAD, strict=True)]
    (row,) = make_report([run("one", BAD), run("two", other)], seed=0)["comparison"]
    assert row["uar_interval"] == [0, 0]
    assert "includes 0" in markdown(make_report([run("one", BAD), run("two", other)], seed=0))


def test_difference_from_training_report_is_noted() -> None:
    report = make_report([run("one", BAD)], seed=0)
    report["runs"][0]["told_by_train"] = {"uar": 0.5, "war": 0.5}
    assert "train.py found" not in markdown(report)
    report["runs"][0]["told_by_train"] = {"uar": 0.5, "war": 0.625}
    assert "one: train.py found UAR 50.00, WAR 62.50 on its test clips" in markdown(report)


def test_other_classes_are_refused() -> None:
    with pytest.raises(
        BadInput, match="two answers a, b, c, one dark, grey, bright; evaluate nets of the same classes"
    ):
        make_report([run("one", BAD), run("two", BAD, classes=("a", "b", "c"))], seed=0)


def test_published_rows_keep_their_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(comparable.TEST_CLIPS, "daisee", (8,))
    one = run("one", BAD, classes=("boredom", "engagement", "confusion"))
    settings = replace(one.clips.settings, labels=None, daisee=Path("x"), frames_root=Path("y"), daisee_parts="paper")
    report = make_report([replace(one, clips=replace(one.clips, settings=settings))], seed=0)
    lines = markdown(report).splitlines()
    first = lines.index("| system | --model | boredom | engagement | confusion | UAR, % | WAR, % | source |")
    assert lines[first + 2] == "| I3D | i3d | - | - | - | - | 51.03 | Table 5, another system |"
    assert lines[first + 3].startswith("| ResNet + LSTM [1] | - |")
    assert lines[first + 6] == "| AGDTNet [2] | agdtnet | 65 | 56 | 63 | - | 62.56 | Table 5, its own result |"
    assert lines[first + 7].startswith("| **one** |  | 50.0 | 50.0 | - | 50.00 [")
    assert "[2] AGDTNet: the recalls are those of Figure 7, which prints whole numbers" in lines


def test_runs_that_share_some_test_clips_are_not_joined() -> None:
    """They are neither seeds nor folds, and pooling would count the shared clips twice."""
    one, other = run("one", GOOD, clips="a"), run("two", BAD[:4], truths=TRUTHS[:4], clips="a")
    with pytest.raises(BadInput, match="one and two share 4 of their 8 and 4 test clips; runs are joined only if"):
        make_report([one, other], seed=0)
    seed = run("another seed", BAD, clips="a")
    with pytest.raises(BadInput, match="one and another seed share 8 of their 8 and 8 test clips"):
        make_report([one, run("fold", [1, 1, 1], truths=[0, 1, 1], clips="b"), seed], seed=0)


def test_frames_of_another_size_do_not_hide_a_shared_clip() -> None:
    """At another size the same frame has another hash; then the clips' names decide."""
    small, large = (
        run("small", GOOD, keys=[f"clip{i} aa" for i in range(8)]),
        run("large", BAD, keys=[f"clip{i} bb" for i in range(8)], size=32),
    )
    assert make_report([small, large], seed=0)["over_runs"]["test_clips"] == "the same for all"
    part = run("part", BAD[:4], truths=TRUTHS[:4], keys=[f"clip{i} bb" for i in range(4)], size=32)
    with pytest.raises(BadInput, match="small and part share 4 of their 8 and 4 test clips"):
        make_report([small, part], seed=0)
    assert not small.same_clips(run("other", BAD, keys=[f"clip{i} bb" for i in range(8)])), "of one size contents count"


def test_clips_trained_on_are_reported_beside_the_scores() -> None:
    shown = run("one", BAD)
    report = make_report([replace(shown, clips=replace(shown.clips, trained_on=3))], seed=0)
    assert report["runs"][0]["clips_trained_on"] == 3
    assert "one: 3 of these 8 clips were used to train it or to choose its epoch" in markdown(report)
    assert "were used to train" not in markdown(make_report([shown], seed=0))
