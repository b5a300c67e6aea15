"""FERV39k: 38,935 clips in 22 scenes, seven expressions, one official split."""

from pathlib import Path

from dfer.data.data_set import ClipList, DataSet, Entry, find_clips, holding, read_text
from dfer.data.folders import FolderTree, Place
from dfer.errors import BadInput

NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")


def read_ferv39k(root: Path, place: Place | None = None, *, skip_missing: bool = False) -> DataSet:
    """Read the split over all scenes; the frames are `2_ClipsforFaceCrop/<Scene>/<Emotion>/<id>/*.jpg`."""
    root, nested = holding(root, "4_setups")
    setup = root / "4_setups" / "All_scenes"
    training, test = (
        read_split(setup / f"{part}_All.csv", place or FolderTree(root), skip_missing) for part in ("train", "test")
    )
    return DataSet(
        NAMES,
        training.clips,
        test.clips,
        remarks=(*nested, *training.remarks, *test.remarks),
        changes=(*training.changes, *test.changes),
    )


def read_split(file: Path, place: Place, skip_missing: bool) -> ClipList:
    """Lines of `Interview/Happy/0118 Happy`, no header."""
    entries = []
    for number, line in enumerate(read_text(file, "a split of FERV39k").splitlines(), start=1):
        if not line.strip():
            continue
        path, _, name = line.strip().rpartition(" ")
        if not path or name.lower() not in NAMES:
            raise BadInput(f"{file}:{number}: expected `<Scene>/<Emotion>/<id> <Emotion>`, got {line.strip()[:100]!r}")
        entries.append(Entry(number, f"2_ClipsforFaceCrop/{path.strip()}", NAMES.index(name.lower())))
    return find_clips(file, entries, place, may_miss=skip_missing)
