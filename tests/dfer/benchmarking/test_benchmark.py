"""The benchmark runs and writes what the documentation includes; committed tables are those of committed numbers."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import benchmark

DOCS = Path(__file__).parents[3] / "docs" / "benchmark"


def test_a_short_run_writes_tables_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--only", "temporal", "--seconds", "0.01", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "benchmark.json").read_text())
    (row,) = report["rows"]
    assert row["ratio"] == row["ours"] / row["theirs"] > 0
    assert (report["device"], report["threads"]) == ("cpu", torch.get_num_threads())
    printed = capsys.readouterr().out
    assert f"{row['ratio']:.2f}" in printed
    assert all(name in printed.replace("\n", " ") for name in report["skipped"])
    assert "nn.TransformerEncoder" in (tmp_path / "rows.md").read_text()
    assert "nn.TransformerEncoder" in (tmp_path / "headline.md").read_text()


def test_the_committed_tables_are_those_of_the_committed_numbers(tmp_path: Path) -> None:
    shutil.copy(DOCS / "benchmark.json", tmp_path)
    assert benchmark.main(["--redraw", "--out", str(tmp_path)]) == 0
    for path in tmp_path.glob("*.md"):
        assert path.read_text() == (DOCS / path.name).read_text()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in DOCS.iterdir()}


def test_the_committed_run_is_whole() -> None:
    report = json.loads((DOCS / "benchmark.json").read_text())
    assert report["skipped"] == []
    assert report["layers"]
    assert {each["form"] for each in report["deployed"]} == {"eager", "folded", "compiled", "bfloat16", "ONNX Runtime"}


def test_the_readme_quotes_the_committed_headline() -> None:
    assert (DOCS / "headline.md").read_text() in (DOCS.parents[1] / "README.md").read_text()


def test_what_cannot_be_done_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--redraw", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("which is not there. Measure first.\n")
    if not torch.cuda.is_available():
        assert benchmark.main(["--device", "cuda", "--out", str(tmp_path)]) == 2
        assert "torch sees no CUDA device" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
