"""Every data set by its flag, from its published layout to a trained file."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import evaluate
import train
from dfer.data import daisee, dfew, ferv39k
from dfer.data.packing import pack
from dfer.training import networks
from dfer.training.trained_file import read_facts
from helpers.made_data import write_daisee, write_dfew, write_ferv39k
from helpers.tiny_runs import add_tiny_model, write_coloured_lists

TINY = ["--model", "tiny", "--frames", "2", "--size", "16", "--epochs", "1", "--batch-size", "4", "--workers", "0"]


@pytest.fixture(autouse=True)
def _tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MODELS", dict(networks.MODELS))
    add_tiny_model()


@pytest.mark.parametrize(
    ("write", "flags", "names", "test", "trained_on"),
    [
        (write_dfew, "--dfew {} --fold 2", dfew.NAMES, 7, "DFEW, fold 2"),
        (write_ferv39k, "--ferv39k {}", ferv39k.NAMES, 14, "FERV39k"),
        (write_daisee, "--daisee {0}/Labels --frames-root {0}/faces", daisee.NAMES, 5, "DAiSEE, one label a clip"),
        (
            write_daisee,
            "--daisee {0}/Labels --frames-root {0}/faces --daisee-parts paper",
            daisee.NAMES,
            5,
            "DAiSEE, one label a clip",
        ),
        (
            write_daisee,
            "--daisee {0}/Labels --frames-root {0}/faces --daisee-state engagement",
            daisee.LEVELS,
            5,
            "DAiSEE, levels of engagement",
        ),
    ],
)
def test_data_sets_can_be_trained_on(
    tmp_path: Path, write: Callable[[Path], None], flags: str, names: tuple[str, ...], test: int, trained_on: str
) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write(root)
    assert train.main([*flags.format(root).split(), *TINY, "--out", str(out), "--check-frames"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert sum(map(sum, metrics["confusion"])) == test
    facts = read_facts(out / "weights.safetensors")
    assert (facts.classes, facts.trained_on) == (names, trained_on)
    if write is write_daisee:
        assert "2100552061: no folder; left out" in (out / "changed_clips.txt").read_text()


def test_packed_store_gives_the_same_run_and_a_contact_sheet(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_ferv39k(root)
    pack(root, tmp_path / "store", 24)
    flags = ["--ferv39k", str(root), *TINY, "--size", "24"]
    flags.append("--check-frames")
    assert train.main([*flags, "--out", str(tmp_path / "folders"), "--contact-sheet"]) == 0
    with Image.open(tmp_path / "folders" / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 100
    again = ["--frames-root", str(tmp_path / "store"), "--out", str(tmp_path / "folders"), "--resume", "--epochs", "2"]
    assert train.main([*flags, *again]) == 0


def test_check_frames_refuses_broken_frames_before_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ferv39k(tmp_path)
    (tmp_path / "2_ClipsforFaceCrop/Interview/Happy/0118/0001.jpg").write_bytes(b"no picture")
    flags = ["--ferv39k", str(tmp_path), *TINY, "--out", str(tmp_path / "out"), "--check-frames"]
    assert train.main(flags) == 2
    assert "frames are broken" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_common_list_formats_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels 1 to 3, then as names; clips that are gone. No file is edited, and evaluate.py reads the same."""
    root = write_coloured_lists(tmp_path / "clips")
    lists = [root / "train.txt", root / "test.txt"]
    for file in lists:
        rows = [line.split() for line in file.read_text().splitlines()]
        file.write_text("".join(f"{folder} {count} {int(label) + 1}\n" for folder, count, label in rows))
    flags = ["--list", str(lists[0]), "--test-list", str(lists[1]), *TINY, "--out", str(tmp_path / "out")]
    assert train.main(flags) == 2
    assert "they are counted from 0: give --first-label 1" in capsys.readouterr().err
    (root / "train3").rename(tmp_path / "gone")
    (root / "test4").rename(tmp_path / "gone too")
    flags += ["--first-label", "1"]
    assert train.main(flags) == 2
    assert "no folder for 1 of 30 clips, first at line 4: train3; " in capsys.readouterr().err
    assert train.main([*flags, "--skip-missing"]) == 0
    assert "train3: no folder; left out" in (tmp_path / "out/changed_clips.txt").read_text()
    assert evaluate.main([str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert report["runs"][0]["number_of_clips"] == 7
    for file in lists:
        text = file.read_text()
        for number, name in enumerate(("Sad", "Glad", "Calm"), start=1):
            text = re.sub(rf" {number}$", f" {name}", text, flags=re.MULTILINE)
        file.write_text(text)
    named = ["--list", str(lists[0]), "--test-list", str(lists[1]), "--skip-missing", *TINY]
    assert train.main([*named, "--out", str(tmp_path / "named")]) == 0
    assert read_facts(tmp_path / "named/weights.safetensors").classes == ("calm", "glad", "sad")
    assert evaluate.main([str(tmp_path / "named")]) == 0
    found, trained = (
        json.loads((tmp_path / "named" / name).read_text()) for name in ("evaluation.json", "metrics.json")
    )
    assert found["runs"][0]["confusion"] == trained["confusion"]
