"""The clips that the settings name."""

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
    choices: dict[str, Any] = {"select_on": training.select_on, "seed": training.seed}
    if run := rendered_or_series(clips, **choices):
        return run
    data = read(clips)
    run = run_data(
        data,
        size=clips.size,
        frames=clips.frames,
        per_segment=clips.per_segment,
        batch_size=training.batch_size,
        **choices,
    )
    # After run_data, which has better words for labels that are not classes.
    classes = 1 + max(clip.label for clip in (*data.training, *data.test))
    if clips.names is not None and len(clips.names) != classes:
        raise BadInput(
            f"--class-names: the lists hold labels 0 to {classes - 1}, so {classes} names are expected; "
            f"got {len(clips.names)}"
        )
    return run


def rendered_or_series(clips: ClipSettings, *, select_on: str, seed: int) -> RunData | None:
    """The clips that are not folders of frames; None for a data set on disk."""
    if clips.labels is not None:
        return rendered_data(clips.labels, frames=clips.frames, size=clips.size, select_on=select_on, seed=seed)
    if clips.series is not None:
        return series_data(
            clips.series,
            frames=clips.frames,
            windows=clips.windows,
            shuffled=clips.shuffle_frames,
            fold=clips.fold,
            select_on=select_on,
            seed=seed,
        )
    return None


def read(clips: ClipSettings, place: FolderTree | None = None) -> DataSet:
    """The data set that the settings name. Its frames lie in `place`, by default where the settings say."""
    if place is None and clips.frames_root is not None:
        place = open_place(clips.frames_root)
    if clips.list is not None and clips.test_list is not None:
        files = [(file, place or open_place(file.parent)) for file in (clips.list, clips.test_list)]
        first = clips.first_label or 0
        return read_lists(files, names=clips.names, first_label=first, skip_missing=clips.skip_missing)
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
