"""The benchmark runs and writes what the documentation includes; committed tables are those of committed numbers."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import benchmark

DOCS = Path(__file__).parents[3] / "docs" / "benchmark"


def test_a_short_run_writes_table_numbers_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--only", "temporal", "--seconds", "0.01", "--out", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert row["ratio"] == row["ours"] / row["theirs"] > 0
    assert f"{row['ratio']:.2f}" in capsys.readouterr().out
    assert "nn.TransformerEncoder" in (tmp_path / "benchmark.md").read_text()
    assert (tmp_path / "ratios.png").stat().st_size > 0


def test_the_committed_tables_are_those_of_the_committed_numbers(tmp_path: Path) -> None:
    shutil.copy(DOCS / "benchmark.json", tmp_path)
    assert benchmark.main(["--redraw", "--out", str(tmp_path)]) == 0
    for name in ("benchmark.md", "profile.md"):
        assert (tmp_path / name).read_text() == (DOCS / name).read_text()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in DOCS.iterdir()}


def test_what_cannot_be_done_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--redraw", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("which is not there. Measure first.\n")
    if not torch.cuda.is_available():
        assert benchmark.main(["--device", "cuda", "--out", str(tmp_path)]) == 2
        assert "torch sees no CUDA device" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


CBAM, HOST = "CbamModule", "ResNet18 + mean"
README_ROWS = [
    ("AGA 16 x 256 x 56 x 56 NCHW forward", CBAM),
    ("AGA 16 x 256 x 56 x 56 NCHW forward + backward", CBAM),
    ("AGA 16 x 256 x 7 x 7 NCHW forward", CBAM),
    ("AGA 16 x 256 x 7 x 7 NCHW forward + backward", CBAM),
    ("AGA 16 x 512 x 7 x 7 channels_last forward", CBAM),
    ("AGA 16 x 512 x 7 x 7 channels_last forward + backward", CBAM),
    ("AGA, dense context, 16 x 256 x 56 x 56 forward", "literal equations"),
    ("AGDTNet forward, batch 4", HOST),
    ("AGDTNet training step, batch 1", HOST),
    ("AGDTNet forward, bfloat16 + channels_last", "float32"),
    ("DTFormer (8, 16, 512) forward + backward", "nn.TransformerEncoder"),
]


def test_the_readme_quotes_the_committed_numbers() -> None:
    rows = json.loads((DOCS / "benchmark.json").read_text())["rows"]
    ratios = {(row["case"], row["peer"]): f"{row['ratio']:.2f}" for row in rows}
    table = (DOCS.parents[1] / "README.md").read_text().split("| case | ratio |")[1].split("\n\n")[0]
    quoted = [figure for line in table.splitlines()[2:] for figure in line.split("|")[2].split("/")]
    assert [figure.strip() for figure in quoted] == [ratios[row] for row in README_ROWS]
    worst = max(float(ratio) for (case, peer), ratio in ratios.items() if peer == CBAM and "calls" not in case)
    assert worst == float(ratios[README_ROWS[4]]), "the README calls this row the worst"
