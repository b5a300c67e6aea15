"""--resume goes on with the same run, wherever its clips lie now, and with no other."""

import hashlib
import json
import os
import pickle
import shutil
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from safetensors.torch import load_file, save_file

import train
from dfer.stopping import Stopped
from dfer.training import networks
from dfer.training.checkpoints import BestAndLast
from dfer.training.run_folder import latest
from helpers.killing import compare
from helpers.made_data import write_dfew
from helpers.tiny_runs import TinyNet, add_tiny_model, tiny_flags, write_coloured_lists


@pytest.fixture(autouse=True)
def _tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MODELS", dict(networks.MODELS))
    add_tiny_model()


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return write_coloured_lists(tmp_path / "clips")


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert train.main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(out / "weights.safetensors") for out in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("recipe", "workers"), [("rendered", "0"), ("rendered", "1"), ("dfew", "0"), ("ferv39k", "0"), ("daisee", "1")]
)
def test_run_resumed_after_any_epoch_gives_the_same_weights(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, workers: str
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    to_whole, to_out = (
        [*tiny_flags(clips, folder, epochs=3, recipe=recipe), "--workers", workers] for folder in (whole, out)
    )
    assert train.main(to_whole) == 0
    save = BestAndLast.on_train_epoch_end

    def save_and_stop(self: BestAndLast, trainer: Trainer, pl_module: LightningModule) -> None:
        save(self, trainer, pl_module)
        raise Stopped(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(BestAndLast, "on_train_epoch_end", save_and_stop)
        assert train.main(to_out) == 128 + signal.SIGTERM
        assert train.main([*to_out, "--resume"]) == 128 + signal.SIGTERM
    assert train.main([*to_out, "--resume"]) == 0
    compare(whole, out)


@pytest.mark.parametrize("recipe", ["rendered", "dfew", "ferv39k", "daisee"])
def test_resuming_with_more_epochs_in_a_moved_folder(clips: Path, tmp_path: Path, recipe: str) -> None:
    out = tmp_path / "out"
    assert train.main(tiny_flags(clips, out, epochs=2, recipe=recipe)) == 0
    moved = shutil.move(clips, tmp_path / "moved here")
    assert train.main(tiny_flags(Path(moved), out, "--resume", epochs=4, recipe=recipe)) == 0
    assert [row["epoch"] for row in json.loads((out / "metrics.json").read_text())["history"]] == [1, 2, 3, 4]
    saved = json.loads((out / "settings.json").read_text())
    assert saved["training"]["epochs"] == 2, "the record of the start stays"
    assert [(again["epochs_done"], again["training"]["epochs"]) for again in saved["resumed"]] == [(2, 4)]
    assert latest(saved)["clips"]["list"] == str(Path(moved) / "train.txt")
    assert json.loads((out / "metrics.json").read_text())["settings"] == saved
    if recipe != "rendered":  # Its schedule depends on the number of epochs from the first on.
        assert train.main(tiny_flags(Path(moved), tmp_path / "at once", epochs=4, recipe=recipe)) == 0
        assert same_weights(out, tmp_path / "at once")


def test_finished_run_is_tested_and_written_again(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert train.main(tiny_flags(clips, out)) == 0
    before = load_file(out / "weights.safetensors")
    for name in ("weights.safetensors", "metrics.json", "curves.png"):
        (out / name).unlink()
    assert train.main(tiny_flags(clips, out, "--resume")) == 0
    after = load_file(out / "weights.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(json.loads((out / "metrics.json").read_text())["history"]) == 2


def test_other_clips_are_refused(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By what the lists and frames hold; each change alone, and undone again."""
    out = tmp_path / "out"
    flags = tiny_flags(clips, out, epochs=1)
    assert train.main(flags) == 0
    again = [*flags, "--resume", "--epochs", "2"]
    expected = "the {} clips are not those that the run was started with"

    training, test = clips / "train.txt", clips / "test.txt"
    for file, line, other, part in (
        (training, "train0 4 0", "train0 4 1", "training"),
        (training, "train0 4 0\ntrain1 4 1", "train1 4 1\ntrain0 4 0", "training"),
        (test, "test0 4 0\n", "", "test"),
        # The training clips would also be held out in another way.
        (test, "test0 4 0", "test0 4 1", "test"),
    ):
        text = file.read_text()
        file.write_text(text.replace(line, other, 1))
        assert expected.format(part) in refused(again, capsys)
        file.write_text(text)

    frame = clips / "test3" / "3.png"
    content, found = frame.read_bytes(), frame.stat()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(frame)
    assert expected.format("test") in refused(again, capsys)
    frame.write_bytes(content)
    os.utime(frame, (found.st_atime, found.st_mtime))
    frame.rename(frame.with_name("9.png"))
    assert expected.format("test") in refused(again, capsys)
    frame.with_name("9.png").rename(frame)
    assert train.main(again) == 0


def test_changed_frame_is_detected_by_size_or_date(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = tiny_flags(clips, out, epochs=1)
    assert train.main(flags) == 0
    again = [*flags, "--resume", "--epochs", "2"]
    frame = clips / "train7" / "1.png"
    content, found = frame.read_bytes(), frame.stat()
    for written, date in ((content + b"x", found.st_mtime), (content, found.st_mtime + 60)):
        frame.write_bytes(written)
        os.utime(frame, (date, date))
        told = refused(again, capsys)
        assert "clips have other sizes or dates than at the start" in told
        assert "only a run started with --check-frames can compare the frames" in told
    os.utime(frame, (found.st_mtime, found.st_mtime))
    assert train.main(again) == 0


def test_checked_frames_are_compared_by_pixels(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    flags = [*tiny_flags(clips, out, epochs=1), "--check-frames"]
    assert train.main(flags) == 0
    moved = shutil.copytree(clips, tmp_path / "copy")
    for copied in moved.rglob("*.png"):
        os.utime(copied, (1, 1))  # dates count in whole seconds, and this test takes less than one
    again = tiny_flags(moved, out, "--resume", epochs=2)
    assert "give --check-frames, which compares the frames themselves" in refused(again, capsys)
    frame = moved / "test3" / "1.png"
    content = frame.read_bytes()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(frame)
    assert "frames of the test clips are not those" in refused([*again, "--check-frames"], capsys)
    frame.write_bytes(content)
    assert train.main([*again, "--check-frames"]) == 0


def test_other_pretrained_file_is_refused(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its content: it may lie elsewhere, and may not be another under the same name, added or left out."""
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    for file, shift in ((one, 0.0), (other, 1.0)):
        net = TinyNet(3, 0.2)
        save_file({name: value + shift if value.is_floating_point() else value
                   for name, value in net.state_dict().items()}, file)  # fmt: skip
    plain, started = tmp_path / "plain", tmp_path / "started"
    assert train.main(tiny_flags(clips, plain, epochs=1)) == 0
    assert train.main(tiny_flags(clips, started, "--pretrained", str(one), epochs=1)) == 0
    before = json.loads((started / "settings.json").read_text())
    assert before["pretrained_sha256"] == hashlib.sha256(one.read_bytes()).hexdigest()
    again = tiny_flags(clips, plain, "--resume", epochs=2)
    assert "started without --pretrained; leave it out" in refused([*again, "--pretrained", str(one)], capsys)
    again = tiny_flags(clips, started, "--resume", epochs=2)
    assert f"--pretrained of SHA-256 {before['pretrained_sha256']}, not none" in refused(again, capsys)
    assert "not another file; give the same" in refused([*again, "--pretrained", str(other)], capsys)
    assert "cannot be read" in refused([*again, "--pretrained", str(tmp_path / "gone.pt")], capsys)
    assert json.loads((started / "settings.json").read_text()) == before
    one.rename(tmp_path / "moved.safetensors")
    assert train.main([*again, "--pretrained", str(tmp_path / "moved.safetensors")]) == 0
    after = json.loads((started / "settings.json").read_text())
    assert {name: after[name] for name in before if name != "resumed"} == {
        name: value for name, value in before.items() if name != "resumed"
    }


def test_other_class_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same clips under another flag may name their classes differently, and in another data set's order."""
    write_dfew(tmp_path / "DFEW")
    out = tmp_path / "out"
    flags = tiny_flags(tmp_path, out, epochs=1, recipe="dfew")[4:]
    assert train.main(["--dfew", str(tmp_path / "DFEW"), *flags]) == 0
    lists = []
    for part in ("train", "test"):
        table = tmp_path / f"DFEW/EmoLabel_DataSplit/{part}(single-labeled)/set_1.csv"
        rows = [line.split(",") for line in table.read_text(encoding="utf-8-sig").split()[1:]]
        (tmp_path / f"{part}.txt").write_text(
            "".join(f"Clip/clip_224x224/{int(clip):05} {int(label) - 1}\n" for clip, label in rows)
        )
        lists += ["--list" if part == "train" else "--test-list", str(tmp_path / f"{part}.txt")]
    listed = [*lists, "--frames-root", str(tmp_path / "DFEW"), *flags, "--resume"]
    assert "the run was started with the classes happy, sad" in refused(listed, capsys)


@pytest.mark.parametrize(
    ("flag", "value", "before"),
    [("--seed", "1", "0"), ("--batch-size", "4", "8"), ("--recipe", "dfew", "rendered"), ("--select-on", "test", "val"),
     ("--dropout", "0.3", "0.2"), ("--size", "32", "16"), ("--class-names", "a,b,c", "None")],
)  # fmt: skip
def test_other_settings_are_named(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str, before: str
) -> None:
    flags = tiny_flags(clips, tmp_path / "out", epochs=1)
    assert train.main(flags) == 0
    printed = refused([*flags, "--resume", flag, value], capsys)
    assert f"--resume: the run was started with {flag} {before}" in printed
    assert f"not {value}; give the same" in printed


def test_other_recipe_is_named_before_its_values(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = tiny_flags(clips, tmp_path / "out", epochs=1)
    place = flags.index("--dropout")
    del flags[place : place + 2]
    assert train.main(flags) == 0
    printed = refused([*flags, "--resume", "--recipe", "dfew"], capsys)
    assert "started with --recipe rendered, not dfew" in printed


def test_fewer_epochs_than_done_are_refused(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(tiny_flags(clips, tmp_path / "out", epochs=2)) == 0
    printed = refused(tiny_flags(clips, tmp_path / "out", "--resume", epochs=1), capsys)
    assert "the run has done 2 epochs; give --epochs 2 or more" in printed


def test_missing_damaged_or_foreign_checkpoint_is_refused(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = [*tiny_flags(clips, out, epochs=1), "--resume"]
    assert "no checkpoint" in refused(flags, capsys)
    assert not out.exists()
    assert train.main(flags[:-1]) == 0
    checkpoint = out / "last.ckpt"
    whole = checkpoint.read_bytes()
    for content in (b"", b"text", whole[:100], whole[: len(whole) // 2], whole[:-30], pickle.dumps(TinyNet(3, 0.0))):
        checkpoint.write_bytes(content)
        assert f"{checkpoint} is damaged or no checkpoint; start again in another --out" in refused(flags, capsys)
    for foreign in ({"state_dict": {}}, torch.zeros(3), [1, 2]):
        torch.save(foreign, checkpoint)
        assert f"{checkpoint} is no checkpoint of train.py" in refused(flags, capsys)
    torch.save(TinyNet(3, 0.0), checkpoint)
    assert "is damaged or no checkpoint" in refused(flags, capsys)
    checkpoint.unlink()
    checkpoint.mkdir()
    assert "is damaged or no checkpoint" in refused(flags, capsys)


def test_broken_test_frame_is_found_before_training(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for frame in (clips / "test5").iterdir():
        frame.write_bytes(b"not a picture")
    printed = refused(tiny_flags(clips, tmp_path / "out"), capsys)
    assert "cannot be read as a picture" in printed
    assert not (tmp_path / "out").exists()
