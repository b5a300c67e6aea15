"""The published figures match the paper and are shown only for the same clips."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dfer.data.clips import ClipSource
from dfer.evaluation.comparable import folds_in_words, why_not_comparable
from dfer.evaluation.evaluated_clips import EvaluatedClips
from dfer.evaluation.published import ABLATION, COSTS, SCORES, PublishedScore, is_in_the_paper, published_war_on_dfew
from dfer.models import AGDTNET_ROWS, MODEL_NAMES
from dfer.training.settings import ClipSettings
from helpers import papers_tables as paper
from helpers.tiny_runs import coloured_clips


def printed(*values: float | None, digits: int = 2) -> list[str]:
    return ["-" if value is None else f"{value:.{digits}f}" for value in values]


def test_table_2_is_the_papers() -> None:
    rows = {row.system: printed(row.uar, row.war) for row in ABLATION.values()}
    assert rows == paper.rows(paper.TABLE_2)
    assert ABLATION.keys() == AGDTNET_ROWS.keys()


def test_table_2_matches_the_parts_of_build_model() -> None:
    parts = {"TFormer": "tformer", "DTFormer": "dtformer", "AGA w/o gate": "aga-without-gate"}
    for name, row in ABLATION.items():
        backbone, *attention, temporal = row.system.split(" + ")
        assert backbone == "ResNet18"
        built = tuple(parts.get(part, part.lower()) for part in (*(attention or ["none"]), temporal))
        assert built == AGDTNET_ROWS[name]


def test_table_3_is_the_papers() -> None:
    assert {row.system: printed(row.uar, row.war) for row in SCORES["ferv39k"].rows} == paper.rows(paper.TABLE_3)
    assert all(row.recall is None for row in SCORES["ferv39k"].rows)


def test_table_4_is_the_papers() -> None:
    table = SCORES["dfew"]
    assert table.classes == ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
    rows = {row.system: printed(*(row.recall or [None] * 7), row.uar, row.war) for row in table.rows}
    assert rows == paper.rows(paper.TABLE_4)


def test_table_5_and_figure_7_are_the_papers() -> None:
    table = SCORES["daisee"]
    assert {row.system: printed(row.war) for row in table.rows} == paper.rows(paper.TABLE_5)
    assert [row.uar for row in table.rows] == [None] * 5
    assert table.classes == ("boredom", "engagement", "confusion", "frustration")
    recalls = {row.system: printed(*row.recall, digits=0) for row in table.rows if row.recall}
    assert recalls == {"AGDTNet": paper.FIGURE_7.split()}


def test_table_6_is_the_papers_with_the_text_as_a_note() -> None:
    rows = {row.system: printed(row.parameters, row.gflops, row.milliseconds, digits=0) for row in COSTS}
    assert rows == paper.rows(paper.TABLE_6)
    parameters, gflops, milliseconds = paper.TEXT_6.split()
    (note,) = (row.note for row in COSTS if row.system == "AGDTNet")
    assert note == f"the text prints {parameters} M, {gflops} GFLOPs and {milliseconds} ms"


def test_tables_and_figures_have_the_papers_numbers() -> None:
    numbers = {name: (table.number, table.figure) for name, table in SCORES.items()}
    assert numbers == {"ferv39k": (3, 5), "dfew": (4, 6), "daisee": (5, 7)}


def test_each_row_names_its_source() -> None:
    for table in SCORES.values():
        own = {row.system for row in table.rows if table.source(row) == f"Table {table.number}, its own result"}
        others = {row.system for row in table.rows if table.source(row) == f"Table {table.number}, another system"}
        assert own == {"AGDTNet"}
        assert len(own | others) == len(table.rows)


WITH_RECALLS = [row for row in SCORES["dfew"].rows if row.recall is not None]


@pytest.mark.parametrize("row", WITH_RECALLS, ids=[row.system for row in WITH_RECALLS])
def test_printed_uar_is_the_mean_of_printed_recalls_or_has_a_note(row: PublishedScore) -> None:
    assert row.recall is not None
    mean = sum(row.recall) / 7
    assert mean == pytest.approx(row.uar, abs=0.015) or row.note == f"the printed recalls average to {mean:.2f}"


def test_models_have_the_names_of_build_model() -> None:
    built = {row.model for table in SCORES.values() for row in table.rows} | {row.model for row in COSTS}
    assert built - {None} <= set(MODEL_NAMES)
    assert [name for name in MODEL_NAMES if not is_in_the_paper(name)] == ["vgg16-lstm"]


def test_score_on_dfew_belongs_to_the_model() -> None:
    scores = {name: published_war_on_dfew(name) for name in MODEL_NAMES}
    assert {name for name, war in scores.items() if war is None} == {"vgg13-lstm", "vgg16-lstm", "resnet18-lstm"}
    assert (scores["vgg11-lstm"], scores["resnet18-lstm-dfew"], scores["dtformer"]) == (53.70, 53.08, 68.13)


def clips(count: int, *, fold: int = 1, parts: str = "official", **source: Path | str) -> EvaluatedClips:
    values = {"labels": None, "frames": 2, "frames_per_segment": None, "size": 16, "fold": fold, "daisee_parts": parts}
    place = {"frames_root": Path("x")} if "daisee" in source else {}
    settings = ClipSettings(**{**values, **source, **place})  # type: ignore[arg-type]
    no_frames: ClipSource = coloured_clips([0])
    return EvaluatedClips(no_frames, (0,) * count, ("x",) * count, settings, own=True, trained_on=0, remarks=())


def test_published_test_clips_are_comparable() -> None:
    folds = [clips(n, fold=f, dfew=Path("x")) for f, n in enumerate((2341, 2341, 2340, 2339, 2336), 1)]
    assert why_not_comparable(folds) is None
    assert why_not_comparable(folds[2:3]) is None
    assert why_not_comparable([clips(7847, ferv39k=Path("x"))]) is None
    assert why_not_comparable([clips(661, parts="paper", daisee=Path("x"))]) is None
    unknown = "the paper does not say on which of DFEW's folds its figures were measured."
    assert folds_in_words(folds) == f"Measured here: the mean over folds 1 to 5; {unknown}"
    assert folds_in_words(folds[1:3]) == f"Measured here: folds 2, 3; {unknown}"


def test_other_clips_are_not_comparable_for_a_stated_reason() -> None:
    fold = clips(2341, dfew=Path("x"))
    for runs, why in (
        ([clips(280, labels="expressions")], r"these clips are rendered faces (expressions)."),
        ([clips(9, list=Path("a"), test_list=Path("mine.txt"))], "these clips are the list mine.txt."),
        ([fold, clips(280, labels="direction")], "these clips are rendered faces (direction)."),
        ([fold, clips(7847, ferv39k=Path("x"))], "these runs are tested on several."),
        ([clips(7, dfew=Path("x"))], "DFEW, fold 1 has 2341 published test clips, these are 7."),
        ([replace(fold, truths=(0,) * 2340)], "has 2341 published test clips, these are 2340."),
        ([clips(661, daisee=Path("x"))], "the paper's test clips are those of --daisee-parts paper"),
    ):
        told = why_not_comparable(runs)
        assert told is not None
        assert why in told
        assert told.count(". ") == 0


def test_page_prints_table_2_with_the_arguments_of_each_row() -> None:
    page = (Path(__file__).parents[3] / "docs/experiments.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (ResNet18 [^|]*) \| (\S+) \| (\S+) \| (.*) \|$", page, re.MULTILINE)
    assert {name: [uar, war] for name, uar, war, _ in found} == paper.rows(paper.TABLE_2)
    for name, _, _, built in found:
        options = dict(re.findall(r'(\w+)="([\w-]+)"', built))
        (row,) = (row for row, score in ABLATION.items() if score.system == name)
        assert (options.get("attention", "aga"), options.get("temporal", "dtformer")) == AGDTNET_ROWS[row]


def test_listed_slips_match_table_4() -> None:
    """The page lists the gains that the text claims, and those that the table has."""
    wars = {row.system: row.war for row in SCORES["dfew"].rows}
    slips = (Path(__file__).parents[3] / "docs/paper_to_code.md").read_text(encoding="utf-8").partition("## Slips")[2]
    for system, (claimed, true) in paper.rows(paper.GAINS).items():
        assert f"{wars['AGDTNet'] - wars[system]:.2f}" == true
        assert claimed in slips
        assert f"{true} ({system})" in slips
