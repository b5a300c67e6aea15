"""complexity.py from end to end, on a clip small enough for a test."""

import json
from pathlib import Path

import pytest
import torch

import complexity

SMALL = ["--frames", "2", "--size", "32", "--seconds", "0"]


def test_table_numbers_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["former-dfer", "resnet18-lstm", "agdtnet"]
    assert complexity.main(["--models", *models, *SMALL, "--device", "cpu", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "complexity.json").read_text())
    assert [row["model"] for row in report["rows"]] == models
    assert report["clip"] == {"frames": 2, "size": 32}
    table = (tmp_path / "complexity.md").read_text()
    assert table in capsys.readouterr().out
    agdtnet = next(line for line in table.splitlines() if line.startswith("| agdtnet"))
    cells = [cell.strip() for cell in agdtnet.strip("|").split("|")]
    row = report["rows"][2]
    assert cells[1] == f"{row['parameters'] / 1e6:.2f}"
    assert cells[3] == f"{row['multiply_adds'] / 1e9:.2f}"
    assert cells[5] == str(row["launches"])
    assert (cells[2], cells[4], cells[8]) == ("19.10", "5.98", "69.30"), "published, in columns that say so"
    assert "Published columns are quoted, not measured" in table
    assert (tmp_path / "complexity.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "expected --frames from 1 and --size from 32, got 0 and 112"),
        (["--size", "31"], "expected --frames from 1 and --size from 32, got 16 and 31"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complexity.main([*arguments, "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"complexity.py: {message}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_no_cuda_device_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert complexity.main(["--device", "cuda", "--out", str(tmp_path / "out")]) == 2
    assert "torch sees no CUDA device here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        complexity.main(["--models", "r3d"])
    assert stopped.value.code == 2
    assert "former-dfer" in capsys.readouterr().err
