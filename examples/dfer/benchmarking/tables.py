"""The report as Markdown: what the documentation and the README include, one text a file."""

import re
from collections.abc import Iterable
from typing import Any

Report = dict[str, Any]

PROFILE_HEADER = ["case", "layer", "the whole map", "vectors", "around", "operators"]
# The groups that the README quotes, best known first; AGA stands beside every peer alike.
HEADLINE = (
    *(f"AGA, {way}, against " for way in ("forward", "forward + backward")),
    "AGA with dense context",
    "AGDTNet, forward, batch",
    "AGDTNet, training step, batch 1, against",
    "AGDTNet, forward, folded",
    "AGDTNet, forward, onnxruntime",
    "AGDTNet, forward, bfloat16",
    "AGDTStream",
    "DTFormer, ",
)


def tables(report: Report) -> dict[str, str]:
    """Give every file's name and text."""
    return {
        "benchmark.md": _all_rows(report),
        "targets.md": _targets(report),
        "headline.md": _headline(report),
        "launches.md": _launches(report),
        "layer_times.md": _layer_times(report),
        "deployed.md": _deployed(report),
        "profile.md": _table(PROFILE_HEADER, 2, map(profile_row, report["profile"])),
    }


def missed(row: dict[str, Any]) -> bool:
    return row["bound"] is not None and row["ratio"] > row["bound"]


def profile_row(share: dict[str, Any]) -> list[str]:
    times = (f"{share[part]:.2f}" for part in ("whole_map", "vectors", "around"))
    return [share["case"], share["layer"], *times, str(share["calls"])]


def figure(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit == "launches" else f"{value:.2f} {unit}"


def groups(report: Report) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in report["rows"]:
        found.setdefault(row["group"], []).append(row)
    return found


def outcome(rows: list[dict[str, Any]]) -> str:
    """Say how many rows of a group meet their target."""
    over = sum(map(missed, rows))
    if rows[0]["bound"] is None:
        return ""
    if not over:
        return "met"
    return "missed" if len(rows) == 1 else f"missed in {over} of {len(rows)}"


def span(rows: list[dict[str, Any]]) -> str:
    """The lowest and the highest ratio of a group."""
    lowest, highest = (f"{bound(row['ratio'] for row in rows):.2f}" for bound in (min, max))
    return lowest if lowest == highest else f"{lowest} to {highest}"


def _targets(report: Report) -> str:
    rows = []
    for group, each in groups(report).items():
        bound = each[0]["bound"]
        if bound is not None:
            limit, reached = f"{bound:.2f}", span(each)
            if _is_against_a_number(each[0]):
                limit, reached = (f"{each[0][side]:.0f}" for side in ("theirs", "ours"))
            rows.append([group, limit, reached, outcome(each)])
    return _table(["what", "at most", "reached", ""], 1, rows)


def _is_against_a_number(row: dict[str, Any]) -> bool:
    """Whether the peer of a count is no layer but the target itself, as "30 launches"."""
    return row["unit"] == "launches" and str(row["peer"]).endswith(" launches")


def _headline(report: Report) -> str:
    found = groups(report)
    rows = []
    for start in HEADLINE:
        for group, each in found.items():
            if group.startswith(start) and "x * s" not in group and "memory" not in group:
                bound = "" if each[0]["bound"] is None else f"{each[0]['bound']:.2f}"
                rows.append([group, span(each), bound])
    return _table(["case", "ratio", "target"], 1, rows)


def _launches(report: Report) -> str:
    """Every counted thing once, ours and the peers'."""
    counts: dict[tuple[str, str], int] = {}
    for row in report["rows"]:
        if row["unit"] == "launches":
            what, _, way = row["case"].removeprefix("launches of ").partition(", ")
            counts[what, way] = round(row["ours"])
            if not _is_against_a_number(row):
                counts[row["peer"], way] = round(row["theirs"])
    ways = ("forward", "forward + backward")
    names = dict.fromkeys(name for name, _ in counts)
    return _table(["", *ways], 1, ([name, *(str(counts.get((name, way), "")) for way in ways)] for name in names))


def _layer_times(report: Report) -> str:
    """The median of every attention layer on each map, AGA first."""
    times: dict[str, dict[str, float]] = {}
    for row in report["rows"]:
        case = re.fullmatch(r"AGA (\d.*) NCHW (forward.*)", row["case"])
        if case is not None and row["unit"] == "ms":
            each = times.setdefault(", ".join(case.groups()), {"AGA": row["ours"]})
            each[row["peer"]] = row["theirs"]
    names = list(dict.fromkeys(name for each in times.values() for name in each if name != "x * s"))
    rows = ([case, *(f"{each[name]:.2f}" if name in each else "" for name in names)] for case, each in times.items())
    return _table(["ms", *names], 1, rows)


def _deployed(report: Report) -> str:
    times = {(each["network"], each["form"]): each["milliseconds"] for each in report["deployed"]}
    forms = list(dict.fromkeys(form for _, form in times))
    names = dict.fromkeys(name for name, _ in times)
    return _table(["ms a clip", *forms], 1, ([name, *(f"{times[name, form]:.1f}" for form in forms)] for name in names))


def _all_rows(report: Report) -> str:
    rows = []
    for row in report["rows"]:
        bound = "" if row["bound"] is None else f"{row['bound']:.2f}"
        ratio = f"{row['ratio']:.2f} (missed)" if missed(row) else f"**{row['ratio']:.2f}**"
        ours, theirs = (figure(row[side], row["unit"]) for side in ("ours", "theirs"))
        rows.append([row["case"], row["peer"], ratio, bound, ours, theirs])
    return _table(["case", "peer", "ratio", "target", "ours", "peer's"], 2, rows)


def _table(header: list[str], texts: int, rows: Iterable[list[str]]) -> str:
    """A table whose first ``texts`` columns are words and whose others are numbers."""
    lines = [header, ["---"] * texts + ["--:"] * (len(header) - texts), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
