"""Small copies of the published layouts of data sets, filled with rendered faces."""

from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from dfer.data.dfew import NAMES as DFEW
from dfer.data.folders import FolderTree
from dfer.data.lists import read_lists
from dfer.data.parts import RunData, run_data
from dfer.rendering.clips import render_clips
from dfer.rendering.motion import EXPRESSIONS


@cache
def faces() -> dict[str, list[Image.Image]]:
    """Return frames of two people for every expression."""
    clips, labels, _ = render_clips("expressions", people=2, frames=6, size=24, seed=0)
    return {
        name: [Image.fromarray(frame) for frame in clips[labels == label].flatten(0, 1).permute(0, 2, 3, 1).numpy()]
        for label, name in enumerate(EXPRESSIONS)
    }


def write_frames(folder: Path, names: list[str], *, first: int = 0, expression: str = "happy") -> None:
    """Save rendered faces under the names. `first` distinguishes clips of one expression."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = faces()[expression]
    for number, name in enumerate(names, start=first):
        frames[number % len(frames)].save(folder / name)


def numbered(count: int, pattern: str = "{}.jpg") -> list[str]:
    return [pattern.format(number) for number in range(1, count + 1)]


def write_dfew(root: Path, *, first_label: int = 1, clips: int = 28) -> None:
    """Write every fourth clip as a test clip. Only the test table pads ids; both kinds of frame names occur."""
    tables = {part: ["video_name,label"] for part in ("train", "test")}
    for clip in range(1, clips + 1):
        pattern = "{:05}_00001.jpg" if clip % 2 else "{}.jpg"
        label = clip * 7 // (clips + 1)
        folder = root / f"Clip/clip_224x224/{clip:05}"
        write_frames(folder, numbered(11, pattern), first=clip, expression=DFEW[label])
        label += first_label
        if clip % 4 == 0:
            tables["test"].append(f"{clip:05},{label}")
        else:
            tables["train"].append(f"{clip},{label}")
    for part, lines in tables.items():
        folder = root / f"EmoLabel_DataSplit/{part}(single-labeled)"
        folder.mkdir(parents=True)
        for fold in range(1, 6):
            (folder / f"set_{fold}.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig")


def write_ferv39k(root: Path) -> None:
    setup = root / "4_setups/All_scenes"
    setup.mkdir(parents=True)
    emotions = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
    for part, scenes in {"train": ("Interview", "DailyLife"), "test": ("War",)}.items():
        lines = []
        for number, path in enumerate(
            f"{scene}/{emotion}/{n:04}" for scene in scenes for emotion in emotions for n in (7, 118)
        ):
            emotion = path.split("/")[1]
            folder = root / "2_ClipsforFaceCrop" / path
            write_frames(folder, numbered(8, "{:04}.jpg"), first=number, expression=emotion.lower())
            lines.append(f"{path} {emotion}")
        (setup / f"{part}_All.csv").write_text("\n".join(lines) + "\n")


# (id, boredom, engagement, confusion, frustration)
DAISEE_TRAIN = (
    ("1100011002.avi", 0, 2, 0, 0),
    ("1100011003.avi", 0, 3, 1, 1),
    ("1100011004.mp4", 3, 3, 0, 0),
    ("1100012001.avi", 2, 1, 1, 0),
    ("2056011.avi", 1, 1, 2, 0),
    ("20560120.avi", 0, 0, 0, 0),
    ("2056013.avi", 1, 1, 1, 1),
    ("2100552061.avi", 0, 3, 0, 0),
)


def write_daisee(root: Path) -> None:
    """Write labels as published and frames as prepared by prepare_videos.py. The last training clip has no frames.

    AllLabels.csv has one more clip per part than the tables of the parts, and every third id ends in .mp4.
    """
    labels = root / "Labels"
    labels.mkdir(parents=True)
    rows = {
        "Train": DAISEE_TRAIN,
        "Validation": [(f"33000{n}1001.avi", int(n == 1), 2, int(n == 2) * 3, int(n == 3) * 3) for n in range(1, 5)],
        "Test": [(f"50000{n}1001.avi", int(n == 1) * 3, 2, int(n == 2) * 3, int(n == 3) * 3) for n in range(1, 6)],
    }
    header = "ClipID,Boredom,Engagement,Confusion,Frustration \n"
    every = []
    for place, (part, clips) in enumerate(rows.items()):
        lines = []
        for number, (clip, *levels) in enumerate([*clips, (f"{700 + place}0011001.avi", 0, 3, 0, 0)]):
            lines.append(",".join([clip, *map(str, levels)]) + "\n")
            stem = clip.split(".")[0]
            if stem != "2100552061":
                write_frames(root / f"faces/{part}/{stem[:6]}/{stem}/{stem}", numbered(9, "{:05}.jpg"), first=number)
        (labels / f"{part}Labels.csv").write_text(header + "".join(lines[:-1]))
        every += lines
    every[::3] = [line.replace(".avi", ".mp4") for line in every[::3]]
    (labels / "AllLabels.csv").write_text(header + "".join(every))


def listed_data(
    training: Path, test: Path, root: Path | None = None, names: tuple[str, ...] | None = None, **options: Any
) -> RunData:
    """Return the clips of a run from two lists. `options` are passed to `run_data`."""
    own = [(file, FolderTree(root or file.parent)) for file in (training, test)]
    return run_data(read_lists(own, names=names), **options)
