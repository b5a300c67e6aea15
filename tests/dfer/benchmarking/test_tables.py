"""The tables of a report: each target once, met or missed; counts as numbers; the README's headline."""

import json
from pathlib import Path

from dfer.benchmarking.tables import tables


def row(group: str, ratio: float, bound: float | None, unit: str = "ms", peer: str = "peer", case: str = "case"):
    return {"group": group, "case": case, "peer": peer, "unit": unit, "ours": 10 * ratio, "theirs": 10.0,
            "ratio": ratio, "bound": bound}  # fmt: skip


REPORT = {
    "rows": [
        row("AGA, forward, against CBAM", 0.8, 0.9),
        row("AGA, forward, against CBAM", 0.95, 0.9),
        row("AGA, forward, against x * s", 3.0, None),
        row("AGA, forward, against SE", 2.0, None),
        row("DTFormer, against torch's", 1.0, 1.0),
        row("Import", 1.5, 1.0),
        row("Launches of AGA", 0.9, 1.0, "launches", "10 launches", "launches of AGA, forward"),
        row("Launches of AGA", 2.7, None, "launches", "CBAM", "launches of AGA, forward + backward"),
    ],
    "deployed": [
        {"network": name, "form": form, "milliseconds": time}
        for name, form, time in (("A", "eager", 1.0), ("A", "folded", 2.0), ("B", "eager", 3.0), ("B", "folded", 4))
    ],
    "profile": [{"case": "x", "layer": "AGA", "whole_map": 1, "vectors": 2, "around": 3, "calls": 4}],
}


def body(name: str) -> list[str]:
    return tables(REPORT)[name].splitlines()[2:]


def test_each_target_stands_once_met_or_missed() -> None:
    assert body("targets.md") == [
        "| AGA, forward, against CBAM | 0.90 | 0.80 to 0.95 | missed in 1 of 2 |",
        "| DTFormer, against torch's | 1.00 | 1.00 | met |",
        "| Import | 1.00 | 1.50 | missed |",
        "| Launches of AGA | 10 | 9 | met |",
    ]


def test_the_headline_shows_peers_alike_and_what_is_missed_too() -> None:
    assert body("headline.md") == [
        "| AGA, forward, against CBAM | 0.80 to 0.95 | 0.90 |",
        "| AGA, forward, against SE | 2.00 |  |",
        "| DTFormer, against torch's | 1.00 | 1.00 |",
    ]


def test_launches_are_counts() -> None:
    assert body("launches.md") == ["| AGA | 9 | 27 |", "| CBAM |  | 10 |"]


def test_forms_stand_side_by_side() -> None:
    assert tables(REPORT)["deployed.md"].splitlines()[0] == "| ms a clip | eager | folded |"
    assert body("deployed.md") == ["| A | 1.0 | 2.0 |", "| B | 3.0 | 4.0 |"]


def test_all_rows_say_what_is_missed() -> None:
    lines = body("benchmark.md")
    assert lines[0] == "| case | peer | **0.80** | 0.90 | 8.00 ms | 10.00 ms |"
    assert lines[1] == "| case | peer | 0.95 (missed) | 0.90 | 9.50 ms | 10.00 ms |"
    assert lines[4] == "| case | peer | **1.00** | 1.00 | 10.00 ms | 10.00 ms |"
    assert lines[6].endswith("| 9 | 10 |")
    assert body("profile.md") == ["| x | AGA | 1.00 | 2.00 | 3.00 | 4 |"]


def test_every_line_of_a_table_has_as_many_cells() -> None:
    for name, text in tables(REPORT).items():
        assert len({line.count("|") for line in text.splitlines()}) == 1, name
    assert tables(REPORT)["launches.md"].splitlines()[1] == "| --- | --: | --: |"


def test_times_of_layers_stand_side_by_side() -> None:
    cases = (("SE", "AGA 16 x 2 NCHW forward"), ("x * s", "AGA 16 x 2 NCHW forward"), ("SE", "AGA 1 channels_last f"))
    report = REPORT | {"rows": [row("AGA", 0.5, None, peer=peer, case=case) for peer, case in cases]}
    assert tables(report)["layer_times.md"].splitlines() == [
        "| ms | AGA | SE |",
        "| --- | --: | --: |",
        "| 16 x 2, forward | 5.00 | 10.00 |",
    ]


def test_the_committed_tables_are_those_of_the_committed_json() -> None:
    folder = Path(__file__).parents[3] / "docs" / "benchmark"
    for name, text in tables(json.loads((folder / "benchmark.json").read_text())).items():
        assert (folder / name).read_text() == text, f"benchmark.py --redraw --out docs/benchmark makes another {name}"
