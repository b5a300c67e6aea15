"""DFEW: 11,697 single-labelled clips from films, seven expressions, five official folds."""

from pathlib import Path

from dfer.data.data_set import DataSet, Entry, find_clips, holding, read_table
from dfer.data.folders import FolderTree, Place
from dfer.errors import BadInput

NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
FOLDS = (1, 2, 3, 4, 5)


def read_dfew(root: Path, fold: int, place: Place | None = None, *, skip_missing: bool = False) -> DataSet:
    """Read a fold's clips below `root`, or in `place`: `Clip/clip_224x224/<5-digit id>/*.jpg`."""
    if fold not in FOLDS:
        raise BadInput(f"DFEW has the folds 1 to 5; got {fold}")
    root, nested = holding(root, "EmoLabel_DataSplit")
    splits, deeper = holding(root / "EmoLabel_DataSplit", "train(single-labeled)")
    tables = {part: splits / f"{part}(single-labeled)" / f"set_{fold}.csv" for part in ("train", "test")}
    rows = {part: read_split(file) for part, file in tables.items()}
    first = first_label({label for entries in rows.values() for *_, label in entries}, root)
    parts = {
        part: find_clips(
            file,
            [Entry(line, f"Clip/clip_224x224/{clip:05}", label - first) for line, clip, label in rows[part]],
            place or FolderTree(root),
            may_miss=skip_missing,
        )
        for part, file in tables.items()
    }
    remarks = nested + deeper + [remark for part in parts.values() for remark in part.remarks]
    changes = [change for part in parts.values() for change in part.changes]
    if first == 0:
        remarks.append(f"{root}: the labels of this copy are numbered 0 to 6, not 1 to 7 as published; read so")
    return DataSet(NAMES, parts["train"].clips, parts["test"].clips, remarks=tuple(remarks), changes=tuple(changes))


def read_split(file: Path) -> list[tuple[int, int, int]]:
    """(line, id, label) of every row; ids come padded to five digits and not."""
    found = []
    for line, (name, label) in read_table(file, "a split of DFEW", ("video_name", "label")):
        if not (name.isdecimal() and label.isdecimal()):
            raise BadInput(f"{file}:{line}: expected `<id>,<label>`, got {name},{label}; correct the line")
        found.append((line, int(name), int(label)))
    return found


def first_label(labels: set[int], root: Path) -> int:
    """Published labels are 1 to 7; files numbered 0 to 6 exist. The whole fold decides, never a row."""
    if labels <= set(range(1, 8)):
        return 1
    if labels <= set(range(7)):
        return 0
    raise BadInput(f"{root}: expected labels 1 to 7 (or 0 to 6) in DFEW's splits, got {sorted(labels)}")
