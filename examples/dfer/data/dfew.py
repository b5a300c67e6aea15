"""DFEW: 11,697 single-labelled clips from films, seven expressions, five official folds."""

from pathlib import Path

from dfer.data.data_set import DataSet, Entry, Notes, find_clips, holding, read_table
from dfer.data.folders import FolderTree
from dfer.errors import BadInput

NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
FOLDS = (1, 2, 3, 4, 5)


def read_dfew(root: Path, fold: int, place: FolderTree | None = None, *, skip_missing: bool = False) -> DataSet:
    """Read a fold's clips below `root`, or in `place`: `Clip/clip_224x224/<5-digit id>/*.jpg`."""
    if fold not in FOLDS:
        raise BadInput(f"DFEW has the folds 1 to 5; got {fold}")
    notes = Notes([], [])
    root = holding(root, "EmoLabel_DataSplit", notes)
    splits = holding(root / "EmoLabel_DataSplit", "train(single-labeled)", notes)
    tables = [splits / f"{part}(single-labeled)" / f"set_{fold}.csv" for part in ("train", "test")]
    rows = {file: read_split(file) for file in tables}
    # Published labels are 1 to 7; files numbered 0 to 6 exist. All labels of the fold decide together.
    labels = {label for entries in rows.values() for *_, label in entries}
    first = 0 if 0 in labels else 1
    if not labels <= set(range(first, first + len(NAMES))):
        raise BadInput(f"{root}: expected labels 1 to 7 (or 0 to 6) in DFEW's splits, got {sorted(labels)}")
    if first == 0:
        notes.remarks.append(f"{root}: labels are numbered 0 to 6 in this copy, not 1 to 7 as published")
    training, test = (
        find_clips(
            file,
            [Entry(line, f"Clip/clip_224x224/{clip:05}", label - first) for line, clip, label in rows[file]],
            place or FolderTree(root),
            notes,
            may_miss=skip_missing,
        )
        for file in tables
    )
    return DataSet(NAMES, training, test, None, *notes)


def read_split(file: Path) -> list[tuple[int, int, int]]:
    """(line, id, label) of every row; ids may be padded to five digits."""
    found = []
    for line, (name, label) in read_table(file, "a split of DFEW", ("video_name", "label")):
        if not (name.isdecimal() and label.isdecimal()):
            raise BadInput(f"{file}:{line}: expected `<id>,<label>`, got {name},{label}; correct the line")
        found.append((line, int(name), int(label)))
    return found
