import json
from pathlib import Path

import pytest
import torch

import complexity
from helpers.papers_tables import TABLE_6, rows

SMALL = ["--frames", "2", "--size", "32", "--seconds", "0"]


def test_short_run_writes_table_json_and_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["former-dfer", "vgg16-lstm", "agdtnet"]
    assert complexity.main(["--models", *models, *SMALL, "--device", "cpu", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "complexity.json").read_text())
    assert [row["model"] for row in report["rows"]] == models
    assert report["clip"] == {"frames": 2, "size": 32}
    table = (tmp_path / "complexity.md").read_text()
    assert table in capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    cells = {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:7]}
    assert list(cells) == ["former-dfer", "vgg16-lstm [1]", "agdtnet [2]", "NR-DFERNet [3]", "MAE-DFER [4]"]
    for row, shown in zip(report["rows"], cells.values(), strict=False):
        assert shown["parameters, M"] == f"{row['parameters'] / 1e6:.2f}"
        assert shown["multiply-adds, G"] == f"{row['multiply_adds'] / 1e9:.2f}"
        assert shown["launches"] == str(row["launches"])
    printed = {name: [row[head] for head in lines[0] if "Table 6" in head] for name, row in cells.items()}
    paper = rows(TABLE_6) | {"none": ["-"] * 3}
    named = ("Former-DFER", "none", "AGDTNet", "NR-DFERNet", "MAE-DFER")
    assert list(printed.values()) == [paper[name] for name in named]
    assert [row["WAR on DFEW, paper"] for row in cells.values()] == ["65.70", "-", "69.30", "-", "-"]
    assert "[1] vgg16-lstm: not in the paper" in table
    assert "[2] agdtnet: the text prints 19.10 M, 5.98 GFLOPs and 11.71 ms" in table
    assert "[4] MAE-DFER: not built here" in table
    assert (tmp_path / "complexity.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "expected --frames from 1 and --size from 32, got 0 and 112"),
        (["--size", "31"], "expected --frames from 1 and --size from 32, got 16 and 31"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complexity.main([*arguments, "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"complexity.py: {message}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_missing_cuda_device_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert complexity.main(["--device", "cuda", "--out", str(tmp_path / "out")]) == 2
    assert "complexity.py: --device cuda: torch finds no CUDA device" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unwritable_folder_is_reported_before_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert complexity.main([*SMALL, "--device", "cpu", "--out", str(tmp_path / "file" / "out")]) == 2
    assert capsys.readouterr().err == (
        f"complexity.py: --out {tmp_path / 'file' / 'out'}: cannot be written to (Not a directory)\n"
    )


def test_unknown_model_is_refused_with_the_known_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        complexity.main(["--models", "r3d"])
    assert stopped.value.code == 2
    assert "former-dfer" in capsys.readouterr().err


def test_committed_table_matches_the_committed_numbers() -> None:
    folder = Path(__file__).parents[2] / "docs/complexity"
    report = json.loads((folder / "complexity.json").read_text())
    assert [row["published"] for row in report["rows"]] == [
        complexity.published(row["model"]) for row in report["rows"]
    ]
    assert (folder / "complexity.md").read_text() == complexity.markdown(report)
