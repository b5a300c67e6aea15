"""The clips that the settings ask for."""

from typing import Any

from dfer.data.acted import ACTED, read_acted
from dfer.data.daisee import read_daisee
from dfer.data.data_set import DataSet
from dfer.data.dfew import read_dfew
from dfer.data.ferv39k import read_ferv39k
from dfer.data.folders import FolderTree
from dfer.data.lists import read_lists
from dfer.data.packing import open_place
from dfer.data.parts import RunData, rendered_data, run_data
from dfer.data.series import series_data
from dfer.errors import BadInput
from dfer.training.settings import ClipSettings, Settings


def load_data(settings: Settings) -> RunData:
    clips, training = settings.clips, settings.training
    if clips.source == "labels":
        return rendered_data(
            str(clips.labels), frames=clips.frames, size=clips.size, seed=training.seed, select_on=training.select_on
        )
    if clips.source == "series":
        return load_series(clips, select_on=training.select_on, seed=training.seed)
    data = read(clips)
    run = run_data(
        data,
        size=clips.size,
        frames=clips.frames,
        per_segment=clips.per_segment,
        select_on=training.select_on,
        seed=training.seed,
        batch_size=training.batch_size,
    )
    # Asked last: labels that are no classes have been refused with a better word.
    classes = 1 + max(clip.label for clip in (*data.training, *data.test))
    if clips.names is not None and len(clips.names) != classes:
        raise BadInput(
            f"--class-names: the lists hold labels 0 to {classes - 1}, so {classes} names are expected; "
            f"got {len(clips.names)}"
        )
    return run


def load_series(clips: ClipSettings, *, select_on: str, seed: int) -> RunData:
    assert clips.series is not None
    return series_data(
        clips.series,
        frames=clips.frames,
        windows=clips.windows,
        shuffled=clips.shuffle_frames,
        fold=clips.fold,
        select_on=select_on,
        seed=seed,
    )


def read(clips: ClipSettings, place: FolderTree | None = None) -> DataSet:
    """The data set that the settings name; its frames lie in `place`, or where the settings say."""
    if place is None and clips.frames_root is not None:
        place = open_place(clips.frames_root)
    if clips.list is not None and clips.test_list is not None:
        # Opened once: both lists share an open store.
        files = [(file, place or open_place(file.parent)) for file in (clips.list, clips.test_list)]
        options: dict[str, Any] = {
            "names": clips.names,
            "first_label": clips.first_label or 0,
            "skip_missing": clips.skip_missing,
        }
        return read_lists(files, **options)
    if clips.dfew is not None:
        return read_dfew(clips.dfew, clips.fold, place, skip_missing=clips.skip_missing)
    if clips.ferv39k is not None:
        return read_ferv39k(clips.ferv39k, place, skip_missing=clips.skip_missing)
    if clips.source in ACTED:
        root = getattr(clips, clips.source)
        return read_acted(ACTED[clips.source], root, place or open_place(root), clips.fold)
    assert clips.daisee is not None
    assert place is not None
    return read_daisee(clips.daisee, place, parts=clips.daisee_parts, state=clips.daisee_state)
