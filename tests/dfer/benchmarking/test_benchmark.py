"""benchmark.py writes the files that the documentation includes, and the committed files agree with each other."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import benchmark

DOCS = Path(__file__).parents[3] / "docs" / "benchmark"


def test_short_run_writes_tables_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--only", "temporal", "--seconds", "0.01", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "benchmark.json").read_text())
    (row,) = report["rows"]
    assert row["ratio"] == row["ours"] / row["theirs"] > 0
    assert (report["device"], report["threads"]) == ("cpu", torch.get_num_threads())
    printed = capsys.readouterr().out
    assert f"{row['ratio']:.2f}" in printed
    assert all(name in " ".join(printed.split()) for name in report["skipped"])
    assert "nn.TransformerEncoder" in (tmp_path / "rows.md").read_text()
    assert "nn.TransformerEncoder" in (tmp_path / "headline.md").read_text()


def test_redraw_reproduces_the_committed_files(tmp_path: Path) -> None:
    shutil.copy(DOCS / "benchmark.json", tmp_path)
    assert benchmark.main(["--redraw", "--out", str(tmp_path)]) == 0
    for path in tmp_path.glob("*.md"):
        assert path.read_text() == (DOCS / path.name).read_text()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in DOCS.iterdir()}


def test_committed_run_skipped_nothing() -> None:
    report = json.loads((DOCS / "benchmark.json").read_text())
    assert report["skipped"] == []
    assert report["layers"]
    assert {each["form"] for each in report["deployed"]} == {"eager", "folded", "compiled", "bfloat16", "ONNX Runtime"}


def test_readme_quotes_the_committed_headline() -> None:
    assert (DOCS / "headline.md").read_text() in (DOCS.parents[1] / "README.md").read_text()


def test_bad_arguments_give_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--redraw", "--out", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err
        == f"benchmark.py: --redraw: {tmp_path / 'benchmark.json'} not found; run without --redraw first\n"
    )
    if not torch.cuda.is_available():
        assert benchmark.main(["--device", "cuda", "--out", str(tmp_path)]) == 2
        assert "--device cuda: torch finds no CUDA device" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert benchmark.main(["--out", str(tmp_path / "file" / "out")]) == 2
    assert "file/out: cannot be written to (Not a directory)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
