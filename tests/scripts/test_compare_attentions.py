"""compare_attentions.py from end to end, in its smallest form, on made files."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compare_attentions
from dfer.experiments.picture_nets import ATTENTIONS
from dfer.experiments.pictures import Protocol, Run, summarise

DESIGN: dict[str, Any] = {
    "seeds": {"none": 3, "AGA": 3, "AGA without gate": 2},
    "training_pictures": [20],
    "epochs": {"20": 1},
    "batch_size": {"20": 10},
    "learning_rate": 0.005,
    "weight_decay": 0.05,
    "comparisons": [["AGA", "none"]],
    "described": [["AGA", "AGA without gate"]],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    folder = tmp_path / "fashion"
    folder.mkdir()
    for part, count in (("train", 30), ("t10k", 25)):
        for kind, shape, top in (("images-idx3", (count, 28, 28), 256), ("labels-idx1", (count,), 10)):
            values = draw.integers(0, top, shape, dtype=np.uint8)
            header = bytes((0, 0, 8, len(shape))) + np.array(shape, ">i4").tobytes()
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes()))
    return folder


def run(data: Path, out: Path, *more: str, **design: Any) -> int:
    protocol = data / "protocol.json"
    protocol.write_text(json.dumps({"pictures": {"design": {**DESIGN, **design}}}))
    return compare_attentions.main(
        ["--fashion-mnist", str(data), "--protocol", str(protocol), "--out", str(out), *more]
    )


def test_resumed_runs_give_the_same_tables(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(data, out) == 0
    tables, numbers = (out / "pictures.md").read_text(), json.loads((out / "pictures.json").read_text())
    assert numbers["runs"] == numbers["planned"] == 8
    (size,) = numbers["sizes"]
    assert [len(row["accuracy"]) for row in size["rows"]] == [3, 3, 2]
    assert [len(row["gate_sd_in_channel"] or ()) for row in size["rows"]] == [0, 3, 0]
    assert "p_holm" in size["comparisons"][0]
    assert "p" not in size["described"][0]
    assert "Incomplete" not in tables
    assert (out / "pictures.png").read_bytes().startswith(b"\x89PNG")
    kept = out / "20-AGA-seed1.json"
    kept.unlink()
    others = {path: path.stat().st_mtime_ns for path in out.glob("20-*.json")}
    assert run(data, out, "--report-only") == 0
    assert "Incomplete: 7 of the protocol's 8 runs" in (out / "pictures.md").read_text()
    assert run(data, out) == 0
    assert (out / "pictures.md").read_text() == tables
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_records_of_another_protocol_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, tmp_path / "out") == 0
    assert run(data, tmp_path / "out", learning_rate=0.01) == 2
    assert "was made with learning_rate 0.005, not 0.01" in capsys.readouterr().err


def test_records_of_other_pictures_are_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = tmp_path / "out", data / "t10k-labels-idx1-ubyte.gz"
    assert run(data, out) == 0
    (out / "20-AGA-seed1.json").unlink()
    content = gzip.decompress(file.read_bytes())
    # The same content, compressed at another time.
    file.write_bytes(gzip.compress(content, mtime=1))
    assert run(data, out) == 0
    file.write_bytes(gzip.compress(content[:-1] + bytes([(content[-1] + 1) % 10])))
    assert run(data, out) == 2
    assert "was made with pictures_sha256 " in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", gzip.compress(b"\0\0\x08\x01" + bytes(9), mtime=0)])
def test_missing_or_damaged_file_is_named(
    data: Path, tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = data / "train-images-idx3-ubyte.gz"
    file.unlink() if content is None else file.write_bytes(content)
    assert run(data, tmp_path / "out") == 2
    assert file.name in capsys.readouterr().err


def test_holm_counts_comparisons_that_are_not_run_yet() -> None:
    protocol = Protocol(**{**DESIGN, "training_pictures": [20, 40], "epochs": {"20": 1, "40": 1}})
    records = {
        Run(20, row, seed): {
            "accuracy": 0.5 + 0.01 * (row == "AGA") + 0.001 * seed,
            "gates": [], "parameters": 1, "multiply_adds": 1, "versions": {}, "core_seconds": 1.0,
        }
        for row in ("none", "AGA") for seed in range(3)
    }  # fmt: skip
    (test,) = summarise(protocol, records)["sizes"][0]["comparisons"]
    assert (test["p"], test["p_holm"]) == (0.25, 0.5)


def test_published_protocol_names_known_rows() -> None:
    protocol = Protocol.read(compare_attentions.PROTOCOL)
    assert set(protocol.seeds) == set(ATTENTIONS)
    assert {row for pair in (*protocol.comparisons, *protocol.described) for row in pair} <= set(protocol.seeds)
