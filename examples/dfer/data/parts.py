"""The clips of a run, in three parts: to train on, to choose the epoch by, and to report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer.bad_input import BadInput
from dfer.data.clips import ClipsInMemory, ClipsOnDisk, ClipSource, split_by_label
from dfer.data.lists import ListedClip, read_clip_list
from dfer.data.rendered import LABEL_SETS, render_clips

CLIPS = {"training": 1050, "validation": 105, "test": 280}


@dataclass(frozen=True)
class RunData:
    names: tuple[str, ...]
    training: ClipSource
    validation: ClipSource
    test: ClipSource
    augmented: bool
    remarks: tuple[str, ...] = ()


def rendered_data(label_set: str, *, frames: int, size: int, select_on: str, seed: int) -> RunData:
    """No person is seen in two parts. Nothing is augmented: the renderer varies light, colour, size and pose itself."""
    people = {part: clips // len(LABEL_SETS[label_set]) for part, clips in CLIPS.items()}
    rendered = render_clips(label_set, people=sum(people.values()), frames=frames, size=size, seed=seed)
    parts: dict[str, ClipSource] = {}
    first = 0
    for part, count in people.items():
        chosen = (rendered.people >= first) & (rendered.people < first + count)
        parts[part] = ClipsInMemory(rendered.clips[chosen], rendered.labels[chosen])
        first += count
    return RunData(LABEL_SETS[label_set], parts["training"], parts[select_on], parts["test"], augmented=False)


def listed_data(
    training_list: Path,
    test_list: Path,
    frames_root: Path | None,
    names: tuple[str, ...] | None,
    *,
    size: int,
    frames: int,
    per_segment: int,
    select_on: str,
    seed: int,
) -> RunData:
    """Validation clips are held out of the training list; to select on the test list is the peers' practice."""
    training, test = (read_clip_list(file, frames_root or file.parent) for file in (training_list, test_list))
    labels = [clip.label for clip in training.clips]
    classes = max(labels + [clip.label for clip in test.clips]) + 1
    if names is not None and len(names) != classes:
        raise BadInput(
            f"--class-names: the lists hold labels 0 to {classes - 1}, so {classes} names are expected; "
            f"got {len(names)}"
        )

    def on_disk(clips: Sequence[ListedClip]) -> ClipSource:
        return ClipsOnDisk(clips, size=size, segments=frames // per_segment, per_segment=per_segment)

    kept, held = split_by_label(labels, seed)
    if select_on == "test":
        seen, choosing = training.clips, test.clips
    elif held:
        seen, choosing = [training.clips[i] for i in kept], [training.clips[i] for i in held]
    else:
        raise BadInput(
            f"{training_list}: no label has two clips, so none can be held out for validation; list more clips"
        )
    return RunData(
        names or tuple(f"class {i}" for i in range(classes)),
        on_disk(seen),
        on_disk(choosing),
        on_disk(test.clips),
        True,
        (*training.remarks, *test.remarks),
    )
