"""FERV39k: 38,935 clips in 22 scenes, seven expressions, one official split."""

from pathlib import Path

from dfer.data.data_set import DataSet, Notes, holding
from dfer.data.folders import FolderTree
from dfer.data.lists import read_lists

NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")


def read_ferv39k(root: Path, place: FolderTree | None = None, *, skip_missing: bool = False) -> DataSet:
    """Read the split over all scenes: lines such as `Interview/Happy/0118 Happy`, without a heading.

    The frames are `2_ClipsforFaceCrop/<Scene>/<Emotion>/<id>/*.jpg` below `root`, or in `place`.
    """
    notes = Notes([], [])
    root = holding(root, "4_setups", notes)
    place = place or FolderTree(root / "2_ClipsforFaceCrop")
    files = [(root / f"4_setups/All_scenes/{part}_All.csv", place) for part in ("train", "test")]
    return read_lists(files, names=NAMES, skip_missing=skip_missing, notes=notes)
