"""From raw videos to a trained file: prepare, pack and train on real footage in every layout."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import evaluate
import pack_clips
import prepare_videos
import train
from dfer.data.clips import ClipSource
from dfer.data.ferv39k import NAMES
from dfer.training import networks
from dfer.training.command_line import parse
from dfer.training.load_data import load_data
from dfer.training.trained_file import read_facts
from helpers.lit_videos import LIGHTS, film
from helpers.tiny_runs import add_tiny_model
from helpers.videos import shades, write_video

SIZE = 48


class Layout(NamedTuple):
    """`write` creates raw videos in `raw` and the published lists in `lists`."""

    write: Callable[[Path, Path], None]
    prepared: str
    """Folder of the clips inside the data set."""
    flags: str
    classes: int
    counts: tuple[int, int, int]
    left_out: int


def write_dfew(raw: Path, lists: Path) -> None:
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(1, 22):
        label = number % 7
        film(raw / f"{number:05}.mp4", label, number)
        rows["test" if number > 14 else "train"].append(f"{number},{label + 1}")
    for part, lines in rows.items():
        folder = lists / f"EmoLabel_DataSplit/{part}(single-labeled)"
        folder.mkdir(parents=True)
        for fold in range(1, 6):
            (folder / f"set_{fold}.csv").write_text("\n".join(["video_name,label", *lines]) + "\n")


def write_ferv39k(raw: Path, lists: Path) -> None:
    setup = lists / "4_setups/All_scenes"
    setup.mkdir(parents=True)
    for part, scenes in {"train": ("Interview", "Daily Life"), "test": ("War",)}.items():
        lines = []
        for number, (scene, (label, name)) in enumerate(product(scenes, enumerate(NAMES))):
            path = f"{scene}/{name.capitalize()}/{number + 100:04}"
            film(raw / f"{path}.mp4", label, number)
            lines.append(f"{path} {name.capitalize()}")
        (setup / f"{part}_All.csv").write_text("\n".join(lines) + "\n")


def write_daisee(raw: Path, lists: Path) -> None:
    """Write one clip per label in each part, two in Train. One shows nobody, one is labelled but missing."""
    (lists / "Labels").mkdir(parents=True)
    for part, first in {"Train": 1, "Validation": 3, "Test": 4}.items():
        lines = ["ClipID,Boredom,Engagement,Confusion,Frustration "]
        for number, label in enumerate((0, 1, 2, 3) * (2 if part == "Train" else 1)):
            stem = f"{first}0000{number % 4}10{number:02}"
            film(raw / f"{part}/{stem[:6]}/{stem}/{stem}.avi", label, number)
            levels = ["0"] * 4
            levels[label] = "2"
            lines.append(f"{stem}.{'mp4' if number == 3 else 'avi'},{','.join(levels)}")
        if part == "Train":
            write_video(raw / "Train/500000/50000010/50000010.avi", shades(*[9] * 3), codec="mpeg4")
            lines += ["50000010.avi,0,1,0,0", "2100552061.avi,0,3,0,0"]
        (lists / f"Labels/{part}Labels.csv").write_text("\r\n".join(lines) + "\r\n")


def write_list(raw: Path, lists: Path) -> None:
    """Write lists with paths of another machine. One of the videos is damaged."""
    lists.mkdir()
    for part, count in {"train": 8, "test": 4}.items():
        lines = []
        for number in range(count):
            film(raw / f"{part} videos/clip {number}.mkv", number % 2, number)
            lines.append(f"/home/user/{part} videos/clip {number}.mkv,{number % 2}")
        (lists / f"{part}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    (raw / "train videos/broken.mp4").write_bytes(b"nothing")
    with open(lists / "train.txt", "a") as file:
        file.write("/home/user/train videos/broken.mp4,1\n")


LAYOUTS = {
    "DFEW": Layout(write_dfew, "Clip/clip_224x224", "--dfew {} --fold 3", 7, (7, 7, 7), 0),
    "FERV39k": Layout(write_ferv39k, "2_ClipsforFaceCrop", "--ferv39k {}", 7, (7, 7, 7), 0),
    "DAiSEE": Layout(write_daisee, "DataSet", "--daisee {}", 4, (8, 4, 4), 2),
    "list": Layout(write_list, "", "--list {0}/train.txt --test-list {0}/test.txt", 2, (6, 2, 4), 1),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare the videos of all data sets in one run, because starting a process takes seconds."""
    root = tmp_path_factory.mktemp("data")
    for name, layout in LAYOUTS.items():
        layout.write(root / "raw" / name / layout.prepared, root / "sets" / name)
    flags = ["--size", str(SIZE), "--workers", "1", "--device", "cpu"]
    assert prepare_videos.main([str(root / "raw"), "--out", str(root / "sets"), *flags]) == 3  # one is damaged
    return root / "sets"


@pytest.mark.parametrize("name", LAYOUTS)
def test_raw_videos_can_be_prepared_packed_and_trained_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    layout, root, store, out = LAYOUTS[name], made / name, tmp_path / "store", tmp_path / "out"
    monkeypatch.setattr(networks, "MODELS", dict(networks.MODELS))
    add_tiny_model()
    assert pack_clips.main([str(root), "--out", str(store), "--size", str(SIZE)]) == 0
    source = [part.format(root) for part in layout.flags.split()]
    tiny = ["--frames", "4", "--size", str(SIZE), "--epochs", "1", "--batch-size", "4", "--workers", "0"]
    flags = [*source, "--frames-root", str(store), *tiny, "--out", str(out), "--check-frames", "--contact-sheet"]
    # One layout trains AGDTNet, the others a tiny net, because only the source of the clips differs.
    assert train.main([*flags, *([] if name == "list" else ["--model", "tiny"])]) == 0

    facts = read_facts(out / "weights.safetensors")
    assert len(facts.classes) == layout.classes
    assert (facts.size, facts.frames) == (SIZE, 4)
    assert sum(map(sum, json.loads((out / "metrics.json").read_text())["confusion"])) == layout.counts[2]
    changes = out / "changed_clips.txt"
    assert (changes.read_text().count("left out") if changes.exists() else 0) == layout.left_out

    packed, plain = (load_data(parse(given, prog="train.py", description="")) for given in (
        flags, [*source, "--frames-root", str(root), *tiny]))  # fmt: skip
    parts = [packed.training, packed.validation, packed.test]
    assert tuple(len(part.labels) for part in parts) == layout.counts
    as_filmed = torch.stack([colour(packed.training, i) for i, label in enumerate(packed.training.labels) if not label])
    for part, other in zip(parts, (plain.training, plain.validation, plain.test), strict=True):
        lights = [colour(part, index) / as_filmed.mean(0) for index in range(len(part.labels))]
        # The label whose light is nearest in colour, ignoring brightness.
        assert [int((directions(LIGHTS) @ light).argmax()) for light in lights] == part.labels
        assert part.labels == other.labels
        # Unpacked folders of frames give the same clips.
        assert all(part.frames(i, None).equal(other.frames(i, None)) for i in range(len(part.labels)))


def colour(part: ClipSource, index: int) -> Tensor:
    return part.frames(index, None).float().mean((0, 2, 3))


def directions(lights: Tensor) -> Tensor:
    return lights / lights.norm(dim=1, keepdim=True)


def test_ravdess_can_be_prepared_trained_and_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MODELS", dict(networks.MODELS))
    add_tiny_model()
    videos, faces, out = tmp_path / "RAVDESS", tmp_path / "faces", tmp_path / "out"
    for number, (actor, emotion) in enumerate(product(range(1, 6), (1, 2, 3, 4))):
        film(videos / f"Actor_{actor:02}/02-01-0{emotion}-01-01-01-{actor:02}.mp4", emotion, number)
    (videos / "Actor_01/03-01-03-01-01-01-01.wav").touch()
    film(videos / "Actor_02/01-01-03-01-01-01-02.mp4", 0, 2)
    flags = ["--size", "48", "--workers", "1", "--device", "cpu"]
    assert prepare_videos.main([str(videos), "--out", str(faces), *flags]) == 0
    tiny = ["--model", "tiny", "--frames", "4", "--size", "48", "--epochs", "1", "--batch-size", "4", "--workers", "0"]
    assert train.main(["--ravdess", str(faces), "--fold", "2", *tiny, "--out", str(out)]) == 0
    assert read_facts(out / "weights.safetensors").trained_on == "RAVDESS, fold 2"
    assert evaluate.main([str(out)]) == 0
    report = json.loads((out / "evaluation.json").read_text())["runs"][0]
    assert (report["number_of_clips"], report["clips"]) == (4, "RAVDESS, fold 2")
    assert evaluate.main([str(out), "--fold", "1"]) == 2
