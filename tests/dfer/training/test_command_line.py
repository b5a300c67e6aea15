"""One place for each default: what the command line gives, what --help says, what a run writes down."""

import importlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from dfer.errors import BadInput
from dfer.training.command_line import GROUPS, parse
from dfer.training.device import Processes, choose_device
from dfer.training.recipes import RECIPES
from dfer.training.run import run
from dfer.training.settings import Settings, described, flag
from helpers.tiny_runs import tiny_settings, use_tiny_model


def parsed(line: str) -> Settings:
    return parse(line.split(), prog="train.py", description="")


LISTS = "--list a/train.txt --test-list a/test.txt"


def test_no_arguments_select_rendered_faces() -> None:
    settings = parsed("")
    assert (settings.clips.labels, settings.clips.frames, settings.clips.size) == ("expressions", 4, 48)
    assert settings.clips.frames_per_segment is None
    assert settings.net.dropout == 0.1
    training = settings.training
    assert (training.recipe, training.epochs, training.batch_size, training.workers) == ("rendered", 3, 8, 0)
    assert (training.select_on, training.precision, training.channels_last, training.seed) == (
        "validation",
        "auto",
        True,
        0,
    )
    assert settings.out == Path("runs/expressions")
    assert not settings.resume


def test_lists_use_the_papers_settings() -> None:
    settings = parsed(LISTS)
    assert settings.clips.labels is None
    assert (settings.clips.frames, settings.clips.per_segment, settings.clips.size) == (16, 2, 112)
    assert settings.net.dropout == 0.0
    assert (settings.training.recipe, settings.training.epochs, settings.training.batch_size) == ("dfew", 100, 40)


def test_recipe_sets_defaults_and_flags_override_them() -> None:
    settings = parsed(f"{LISTS} --recipe rendered --batch-size 5")
    assert (settings.training.epochs, settings.net.dropout, settings.training.batch_size) == (3, 0.1, 5)
    assert parsed("--recipe daisee").training.epochs == 100
    assert parsed("--recipe daisee --epochs 7").training.epochs == 7
    training = parsed(f"{LISTS} --learning-rate 0.01 --balanced true --gamma 0.1").training
    assert (training.learning_rate, training.balanced, training.gamma, training.momentum) == (0.01, True, 0.1, 0.9)
    assert parsed("--momentum 0.5 --recipe dfew").training.momentum == 0.5


def test_every_setting_has_a_flag_with_help_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    printed = " ".join(capsys.readouterr().out.split())
    for group in GROUPS:
        for name, setting in described(group).items():
            assert flag(name) + " " in printed
            assert setting.help in printed
    assert "--epochs N passes over the training clips (rendered 3; series 40; dfew, ferv39k, daisee 100)" in printed
    assert "--size N side of a frame in pixels (48; with clips on disk 112)" in printed
    assert "frames per clip that the net sees (4; with clips on disk 16; with --series 128)" in printed
    assert "--balanced true|false" in printed
    assert "augmentation and dropout (0)" in printed
    assert "for each that trains (0; with clips on disk" in printed
    assert all(recipe in printed for recipe in RECIPES)


@pytest.mark.parametrize("script", ["train", "evaluate", "attention_maps"])
def test_help_shows_values_without_type_names(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        importlib.import_module(script).main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if re.search(r"Optional|Literal|Union|type:|null|None|\{|\}", line)]
    assert any(line.startswith("  --daisee-parts official|paper ") for line in lines)
    options = [number for number, line in enumerate(lines) if line.startswith("  --")]
    for number in options:
        flag, _, text = lines[number].strip().partition("  ")
        more = next((count for count, line in enumerate(lines[number + 1 :]) if not line.startswith(" " * 34)), 0)
        words = " ".join(" ".join(line.split()) for line in [text, *lines[number + 1 : number + 1 + more]])
        assert not more or len(flag) > 31 or len(words) > 120 - 35, lines[number]


def test_lists_of_the_same_name_get_different_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (parsed(f"--list {fold}/train.txt --test-list {fold}/test.txt").out for fold in ("set1", "set2"))
    assert first != second
    assert first == parsed(f"--list {tmp_path}/set1/train.txt --test-list set1/test.txt").out
    assert first.parent == Path("runs")
    assert first.name.startswith("train-")


def test_data_set_selects_its_recipe_and_folder() -> None:
    settings = parsed("--dfew d --fold 3")
    assert (settings.clips.source, settings.clips.fold, settings.training.recipe) == ("dfew", 3, "dfew")
    assert settings.out.name.startswith("dfew-fold3-")
    assert parsed("--ferv39k d").training.recipe == "ferv39k"
    settings = parsed("--daisee d --frames-root f")
    assert (settings.training.recipe, settings.clips.frames, settings.training.batch_size) == ("daisee", 16, 40)
    assert parsed("--daisee d --frames-root f --recipe dfew").training.recipe == "dfew"


def test_settings_are_frozen_and_checked_without_a_command_line(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    with pytest.raises(AttributeError):
        settings.training.epochs = 5  # type: ignore[misc]
    with pytest.raises(BadInput, match="--epochs: expected a whole number from 1, got 0"):
        tiny_settings(tmp_path, epochs=0)
    with pytest.raises(BadInput, match="--size: expected a whole number from 16, got 15"):
        replace(settings.clips, size=15)


def test_run_records_all_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_model(monkeypatch)
    settings = tiny_settings(tmp_path / "out", epochs=1, seed=3)
    run(settings)
    written = json.loads((tmp_path / "out" / "settings.json").read_text())
    for group in ("clips", "net", "training"):
        assert written[group] == asdict(getattr(settings, group))
    assert written["training"]["seed"] == 3
    assert written["versions"].keys() >= {"python", "torch", "agdt-layers", "lightning"}
    assert all(written["versions"].values())
    assert "commit" in written
    # What "auto" and the recipe came to.
    assert written["device"] == str(choose_device(settings.training, Processes()))
    assert (written["training"]["learning_rate"], written["training"]["balanced"]) == (4e-4, False)
    assert written["pretrained_sha256"] is None
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["settings"] == written
