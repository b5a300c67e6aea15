"""compare_attentions.py from end to end, on stand-ins of the packages' files."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import compare_attentions
from dfer.experiments import comparison


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    digits, vowels = (tmp_path / p for p in ("sklearn/datasets/data", "aeon/datasets/data/JapaneseVowels"))
    for folder in (digits, vowels):
        folder.mkdir(parents=True)
    for package in ("sklearn", "aeon"):
        (tmp_path / package / "__init__.py").touch()
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(comparison, "TRAINING_DIGITS", 30)
    draw = np.random.default_rng(0)
    table = np.concatenate([draw.integers(0, 17, (50, 64)), np.arange(50)[:, None] % 10], axis=1)
    with gzip.open(digits / "digits.csv.gz", "wt") as file:
        np.savetxt(file, table, delimiter=",", fmt="%d")
    for part in ("TRAIN", "TEST"):
        lines = [f"{draw.random():.3f},1,2:{draw.random():.3f},0,1:{1 + i % 2}" for i in range(12)]
        text = "@classLabel true 1 2\n@data\n" + "\n".join(lines) + "\n"
        (vowels / f"JapaneseVowels_{part}.ts").write_text(text)
    return tmp_path


def flags(out: Path) -> list[str]:
    return ["--seeds", "2", "--epochs", "1", "--seconds", "0", "--out", str(out)]


def test_tables_numbers_and_picture(packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert compare_attentions.main(flags(out)) == 0
    printed = capsys.readouterr().out
    pictures, series = json.loads((out / "comparison.json").read_text())["comparisons"]
    assert [row["name"] for row in pictures["rows"]] == ["none", "SE", "ECA", "CBAM", "AGA"]
    assert [row["name"] for row in series["rows"]] == ["mean", "MLP + mean", "TFormer", "DTFormer", "torch encoder"]
    for summary in (pictures, series):
        assert all(len(row["accuracy"]) == 2 for row in summary["rows"])
        untested = [row["name"] for row in summary["rows"] if row["against_reference"] is None]
        assert untested == [summary["reference"]]
    text = (out / "comparison.md").read_text()
    for part in text.split("\n\n"):
        assert part.strip() in printed
    assert "30 to train on and 20 to test" in text
    aga = pictures["rows"][-1]
    assert f"| AGA | {aga['parameters']:,} | {aga['multiply_adds']:,} | {aga['milliseconds']:.2f} |" in text
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    # A second time the same, whatever the machine does meanwhile.
    assert compare_attentions.main([*flags(tmp_path / "again"), "--on", "series"]) == 0
    (again,) = json.loads((tmp_path / "again/comparison.json").read_text())["comparisons"]
    assert [row["accuracy"] for row in again["rows"]] == [row["accuracy"] for row in series["rows"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "--seeds: expected 2 to 16, for a spread and an exact test; got 1"),
        (["--epochs", "0"], "--epochs: expected a whole number from 1, got 0"),
        (["--seconds", "-1"], "--seconds: expected a number from 0, got -1.0"),
        (["--seconds", "nan"], "--seconds: expected a number from 0, got nan"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare_attentions.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"compare_attentions.py: {message}\n"
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_one_line_before_anything_is_trained(
    packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (packages / "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TEST.ts").unlink()
    assert compare_attentions.main(flags(tmp_path / "out")) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "compare_attentions.py: datasets/data/JapaneseVowels/JapaneseVowels_TEST.ts of the package aeon is not "
        "installed; get it by: pip install --no-deps aeon\n"
    )
    assert not (tmp_path / "out").exists()
