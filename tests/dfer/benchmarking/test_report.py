from dfer.benchmarking.report import tables


def row(case: str, peer: str, ratio: float, bound: float | None = None, unit: str = "ms"):
    return {"case": case, "peer": peer, "unit": unit, "ours": 10 * ratio, "theirs": 10.0, "ratio": ratio,
            "bound": bound}  # fmt: skip


def layer(name: str, channels: int, milliseconds: float):
    times = {"forward": milliseconds, "forward + backward": 3 * milliseconds}
    return {"layer": name, "shape": [2, channels, 5, 5], "milliseconds": times, "kept": 0.5,
            "launches": {"forward": 4, "forward + backward": 9}}  # fmt: skip


REPORT = {
    "rows": [
        row("AGDTNet, forward, batch 1", "Former-DFER", 0.9),
        row("DTFormer, forward + backward", "nn.TransformerEncoder", 1.0, 1.0),
        row("import", "0.1 s", 1.5, 1.0),
        row("AGDTNet, launches", "Former-DFER", 0.7, unit="launches"),
    ],
    "layers": [layer(name, channels, each) for channels, times in ((3, (1.0, 2.0)), (7, (4.0, 2.0)))
               for name, each in zip(("AGA", "timm's CbamModule"), times, strict=True)],
    "deployed": [
        {"network": name, "what": "a clip", "form": form, "milliseconds": time}
        for name, form, time in (("A", "eager", 1.0), ("A", "folded", 2.0), ("B", "eager", 3.0), ("B", "folded", 4))
    ],
}  # fmt: skip


def body(name: str) -> list[str]:
    return tables(REPORT)[name].splitlines()[2:]


def test_rows_show_whether_the_target_was_met() -> None:
    assert body("rows.md") == [
        "| AGDTNet, forward, batch 1 | Former-DFER | 0.90 |  |  | 9.00 ms | 10.00 ms |",
        "| DTFormer, forward + backward | nn.TransformerEncoder | 1.00 | 1.00 | met | 10.00 ms | 10.00 ms |",
        "| import | 0.1 s | 1.50 | 1.00 | missed | 15.00 ms | 10.00 ms |",
        "| AGDTNet, launches | Former-DFER | 0.70 |  |  | 7 | 10 |",
    ]


def test_headline_has_the_quoted_rows_and_the_range_over_maps() -> None:
    assert body("headline.md") == [
        "| AGDTNet, forward, batch 1, against Former-DFER | 0.90 |  |",
        "| DTFormer, forward + backward, against nn.TransformerEncoder | 1.00 | 1.00, met |",
        "| AGA, forward, against timm's CbamModule | 0.50 to 2.00 |  |",
        "| AGA, forward + backward, against timm's CbamModule | 0.50 to 2.00 |  |",
    ]


def test_layers_table_has_launches_and_kept_memory() -> None:
    assert body("layers.md") == ["| AGA | 4 | 9 | 0.50 | 0.50 |", "| timm's CbamModule | 4 | 9 | 0.50 | 0.50 |"]


def test_layer_times_have_one_column_per_layer() -> None:
    assert body("layer_times.md")[:2] == [
        "| 2 x 3 x 5 x 5, forward | 1.00 | 2.00 |",
        "| 2 x 3 x 5 x 5, forward + backward | 3.00 | 6.00 |",
    ]


def test_deployed_table_has_one_column_per_form() -> None:
    assert tables(REPORT)["deployed.md"].splitlines()[0] == "| ms | eager | folded |"
    assert body("deployed.md") == ["| A, a clip | 1.0 | 2.0 |", "| B, a clip | 3.0 | 4.0 |"]


def test_lines_of_a_table_have_equally_many_cells() -> None:
    for name, text in tables(REPORT).items():
        assert len({line.count("|") for line in text.splitlines()}) == 1, name
