"""The batches of a run: in which order, and by which processes."""

import pytest

from dfer.data.clips import ClipsInMemory
from dfer.data.parts import RunData
from dfer.data.rendered import LABEL_SETS, render_clips
from dfer.training.loading import Loaders, make_loaders
from dfer.training.settings import TrainingSettings


def loaders(workers: int, epochs_done: int = 0) -> Loaders:
    clips, labels, _ = render_clips("direction", people=2, frames=2, size=16, seed=0)
    source = ClipsInMemory(clips, labels)
    data = RunData(LABEL_SETS["direction"], source, source, source, augmented=False)
    settings = TrainingSettings(recipe="dfew", epochs=1, batch_size=1, workers=workers)  # type: ignore[call-arg]
    return make_loaders(data, settings, epochs_done=epochs_done)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_processes_that_load_are_kept_for_the_next_epoch(workers: int) -> None:
    # One epoch of a small set is over sooner than a process has started.
    assert all(loader.persistent_workers == (workers > 0) for loader in loaders(workers))


def test_a_resumed_run_begins_with_the_clips_of_its_epoch() -> None:
    assert {epoch for epoch, _ in loaders(0, epochs_done=3).training.sampler} == {3}
