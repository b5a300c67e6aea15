"""Every data set by its flag, from its published layout to a trained file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import train
from dfer.data import daisee, dfew, ferv39k
from dfer.data.packing import pack
from dfer.training import networks
from dfer.training.trained_file import read_facts
from helpers.made_data import write_daisee, write_dfew, write_ferv39k
from helpers.tiny_runs import add_tiny_model

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
    ],
)
def test_a_data_set_is_trained_on(
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


def test_a_packed_store_gives_the_run_of_its_folders_and_a_contact_sheet(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_ferv39k(root)
    pack(root, tmp_path / "store", 24)
    flags = ["--ferv39k", str(root), *TINY, "--size", "24"]
    assert train.main([*flags, "--out", str(tmp_path / "folders"), "--contact-sheet"]) == 0
    with Image.open(tmp_path / "folders" / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 100
    again = ["--frames-root", str(tmp_path / "store"), "--out", str(tmp_path / "folders"), "--resume", "--epochs", "2"]
    assert train.main([*flags, *again]) == 0


def test_check_frames_ends_a_run_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ferv39k(tmp_path)
    (tmp_path / "2_ClipsforFaceCrop/Interview/Happy/0118/0001.jpg").write_bytes(b"no picture")
    flags = ["--ferv39k", str(tmp_path), *TINY, "--out", str(tmp_path / "out"), "--check-frames"]
    assert train.main(flags) == 2
    assert "frames are broken" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
