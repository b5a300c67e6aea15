"""The clips of a run, in three parts: to train on, to choose the epoch by, and to report."""

from collections.abc import Sequence
from dataclasses import dataclass

from dfer.bad_input import BadInput
from dfer.data.clips import ClipsInMemory, ClipsOnDisk, ClipSource
from dfer.data.data_set import DataSet, ListedClip
from dfer.data.holding_out import split_by_label
from dfer.data.questions import each_once, not_scored, question
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
    changes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, ClipSource]:
        return {"training": self.training, "validation": self.validation, "test": self.test}


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


def run_data(
    data: DataSet,
    *,
    size: int,
    frames: int,
    per_segment: int,
    select_on: str,
    seed: int,
    batch_size: int | None = None,
) -> RunData:
    """Question a data set and make it the clips of a run.

    Where it has no validation part, a tenth of the training clips is held out. Selecting on the test clips is common
    practice elsewhere.
    """
    data = each_once(data)
    remarks = [*data.remarks, *question(data, batch_size=batch_size)]
    training, choosing = data.training, data.validation
    if select_on == "test":
        choosing = data.test
    elif choosing is None:
        labels, subjects = [clip.label for clip in training], [clip.subject for clip in training]
        kept, held = split_by_label(labels, seed, subjects)
        if not held:
            raise BadInput(
                f"{training[0].place} and after: no clips can be held out for validation, since each label would lose "
                "its only clips or its only person; list more"
            )
        training, choosing = [data.training[i] for i in kept], [data.training[i] for i in held]
    if select_on != "test":
        remarks += not_scored("validation", choosing, training, data.names)
    remarks += not_scored("test", data.test, training, data.names)
    classes = max(len(data.names), 1 + max(clip.label for clip in (*training, *choosing, *data.test)))

    def on_disk(clips: Sequence[ListedClip]) -> ClipSource:
        return ClipsOnDisk(clips, size=size, segments=frames // per_segment, per_segment=per_segment)

    return RunData(
        data.names or tuple(f"class {i}" for i in range(classes)),
        on_disk(training),
        on_disk(choosing),
        on_disk(data.test),
        augmented=True,
        remarks=tuple(remarks),
        changes=data.changes,
    )
