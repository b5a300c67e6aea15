"""The clips that the settings ask for."""

from dfer.data.daisee import read_daisee
from dfer.data.data_set import DataSet
from dfer.data.dfew import read_dfew
from dfer.data.ferv39k import read_ferv39k
from dfer.data.packing import open_place
from dfer.data.parts import RunData, listed_data, rendered_data, run_data
from dfer.training.settings import ClipSettings, Settings


def load_data(settings: Settings) -> RunData:
    clips, training = settings.clips, settings.training
    if clips.source == "labels":
        return rendered_data(
            str(clips.labels), frames=clips.frames, size=clips.size, seed=training.seed, select_on=training.select_on
        )
    if clips.list is not None and clips.test_list is not None:
        return listed_data(
            clips.list,
            clips.test_list,
            clips.frames_root,
            clips.names,
            size=clips.size,
            frames=clips.frames,
            per_segment=clips.per_segment,
            select_on=training.select_on,
            seed=training.seed,
            batch_size=training.batch_size,
        )
    return run_data(
        read(clips),
        size=clips.size,
        frames=clips.frames,
        per_segment=clips.per_segment,
        select_on=training.select_on,
        seed=training.seed,
        batch_size=training.batch_size,
    )


def read(clips: ClipSettings) -> DataSet:
    place = None if clips.frames_root is None else open_place(clips.frames_root)
    if clips.dfew is not None:
        return read_dfew(clips.dfew, clips.fold, place)
    if clips.ferv39k is not None:
        return read_ferv39k(clips.ferv39k, place)
    assert clips.daisee is not None
    assert place is not None
    return read_daisee(clips.daisee, place, parts=clips.daisee_parts)
