"""The report of evaluate.py as Markdown."""

from collections.abc import Sequence
from typing import Any

from dfer.training.settings import chosen_on


def markdown(report: dict[str, Any]) -> str:
    parts = [score_table(report), *notes(report)]
    if "comparison" in report:
        parts.append(comparison_table(report["comparison"]))
    parts.append(published_table(report))
    parts.append(confusion_table(report))
    return "\n".join(parts)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def score_table(report: dict[str, Any]) -> str:
    names = report["classes"]
    rows = [score_row(run["name"], str(run["number_of_clips"]), run) for run in report["runs"]]
    if over := report.get("over_runs"):
        clips = sum(run["number_of_clips"] for run in report["runs"])
        joined = "folds" if "pooled" in over else "the same clips"
        rows.append(score_row(f"mean of {over['runs']}, {joined}", "", over))
        if pooled := over.get("pooled"):
            recall = dict(zip(names, pooled["recall"], strict=True))
            rows.append(score_row("all clips pooled", str(clips), {**pooled, "recall": recall}))
    return table(["run", "clips", "UAR, %", "WAR, %", *names], rows)


def score_row(name: str, clips: str, scores: dict[str, Any]) -> list[str]:
    both = [with_interval(scores[kind], scores.get(f"{kind}_interval")) for kind in ("uar", "war")]
    return [name, clips, *both, *(percent(recall) for recall in scores["recall"].values())]


def percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"


def with_interval(value: float, between: Sequence[float] | None, sign: str = "") -> str:
    if between is None:
        return f"{100 * value:{sign}.2f}"
    low, high = between
    return f"{100 * value:{sign}.2f} [{100 * low:{sign}.2f}, {100 * high:{sign}.2f}]"


def notes(report: dict[str, Any]) -> list[str]:
    bootstrap = report["bootstrap"]
    lines = [
        f"In brackets: {100 * bootstrap['level']:.0f} % bootstrap intervals over clips, drawn within each class "
        f"({bootstrap['resamples']} resamples, seed {bootstrap['seed']}). A class without clips has no recall and "
        "does not count in UAR.",
    ]
    if "over_runs" in report:
        lines.append(joined_in_words(report["over_runs"]))
    for run in report["runs"]:
        lines.append(
            f"{run['name']}: trained on {run['trained_on']}, epoch {run['epoch']}, "
            f"{chosen_on(run['epoch_selected_on'])}; tested on {run['clips']}."
        )
        if run["clips_trained_on"]:
            lines.append(
                f"**{run['name']}: {run['clips_trained_on']} of these {run['number_of_clips']} clips were used to "
                "train it or to choose its epoch: its scores say nothing about new clips.**"
            )
        told = run["told_by_train"]
        if told and abs(told["uar"] - run["uar"]) + abs(told["war"] - run["war"]) > 1e-6:
            lines.append(
                f"{run['name']}: train.py found UAR {100 * told['uar']:.2f}, WAR {100 * told['war']:.2f} on its test "
                "clips; the difference comes from other frames, device or precision."
            )
    return ["  \n".join(lines) + "\n"]


def joined_in_words(over: dict[str, Any]) -> str:
    if "pooled" in over:
        return (
            "The runs share no test clips, as with folds: the mean is over the runs, its interval over the clips of "
            "all runs."
        )
    return (
        "All runs are tested on the same clips, as with several seeds: the mean is over the runs, with "
        f"a standard deviation of {100 * over['uar_sd']:.2f} (UAR) and {100 * over['war_sd']:.2f} (WAR) "
        "points; its interval is over the clips."
    )


def comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    cells = []
    for row in rows:
        low, high = row["uar_interval"]
        verdict = "includes 0" if low <= 0 <= high else "excludes 0"
        cells.append(
            [
                f"{row['run']} minus {row['minus']}",
                *(with_interval(row[kind], row[f"{kind}_interval"], "+") for kind in ("uar", "war")),
                verdict,
            ]
        )
    header = ["on the same clips, paired", "UAR, points", "WAR, points", "UAR's interval"]
    return table(header, cells)


def published_table(report: dict[str, Any]) -> str:
    """The paper's table of the data set, followed by our scores."""
    quoted = report["published"]
    if "why_not" in quoted:
        return quoted["why_not"] + "\n"
    names = report["classes"]
    rows: list[list[str]] = []
    marks: list[str] = []
    for row in quoted["rows"]:
        mark = ""
        if row["note"]:
            marks.append(f"[{len(marks) + 1}] {row['system']}: {row['note']}")
            mark = f" [{len(marks)}]"
        recalls = (as_printed(row["recall"].get(name)) for name in names)
        scores = (as_printed(row[kind]) for kind in ("uar", "war"))
        rows.append([row["system"] + mark, row["model"] or "-", *recalls, *scores, row["source"]])
    measured = [report["over_runs"] | {"name": "mean of these runs"}] if over_folds(report) else report["runs"]
    for run in measured:
        both = [with_interval(run[kind], run[f"{kind}_interval"]) for kind in ("uar", "war")]
        recalls = (percent(run["recall"][name]) for name in names)
        rows.append([f"**{run['name']}**", "", *recalls, *both, "measured here"])
    known = "only the diagonal, AGDTNet's recalls above," if quoted["rows"][-1]["recall"] else "nothing"
    footer = [
        f"Published rows are those of the paper's Table {quoted['table']}, not measured here. train.py builds the "
        "systems that have a --model.",
        f"The confusion matrix is in the paper's Figure {quoted['figure']}, of which {known} is known here.",
        quoted["folds"],
        *marks,
    ]
    head = ["system", "--model", *names, "UAR, %", "WAR, %", "source"]
    return table(head, rows) + "\n" + "  \n".join(filter(None, footer)) + "\n"


def as_printed(value: float | None) -> str:
    """Scores have two decimals; Figure 7 prints whole numbers."""
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"


def over_folds(report: dict[str, Any]) -> bool:
    return "pooled" in report.get("over_runs", {})


def confusion_table(report: dict[str, Any]) -> str:
    names = report["classes"]
    several = "over_runs" in report
    matrix = report["over_runs"]["confusion_summed"] if several else report["runs"][0]["confusion"]
    rows = [[name, *map(str, row)] for name, row in zip(names, matrix, strict=True)]
    return table([f"truth \\ answer{', all runs' if several else ''}", *names], rows)
