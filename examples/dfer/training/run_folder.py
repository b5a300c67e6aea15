"""The folder of a run: one process at a time, nothing of an earlier run overwritten, and a table of the clips."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath

from dfer.atomic_files import remove_partial_files, whole_file
from dfer.data.parts import RunData
from dfer.errors import BadInput
from dfer.lock import one_at_a_time

SETTINGS, CHECKPOINT, METRICS, WEIGHTS = "settings.json", "last.ckpt", "metrics.json", "weights.safetensors"
CLIPS, CHANGES = "clips.csv", "changed_clips.txt"


@contextmanager
def run_folder(out: Path, *, resume: bool) -> Iterator[None]:
    """Keep `out` for this process. A folder in which nothing was written is removed again."""
    if not resume:
        refuse_earlier_run(out)
    lock = out / ".lock"
    with ExitStack() as held:
        try:
            out.mkdir(parents=True, exist_ok=True)
            refusal = f"--out {out}: another run is writing there; wait for its end, or name another"
            held.enter_context(one_at_a_time(lock, refusal))
        except OSError as error:
            raise BadInput(f"--out {out}: cannot be written to ({error.strerror}); name another") from None
        if not resume:
            refuse_earlier_run(out)
        remove_partial_files(out)
        try:
            yield
        finally:
            if [file.name for file in out.iterdir()] == [lock.name]:
                lock.unlink()
                out.rmdir()


def refuse_earlier_run(out: Path) -> None:
    for name in (CHECKPOINT, METRICS, WEIGHTS):
        if (out / name).exists():
            raise BadInput(f"--out {out} holds a run; go on with it by --resume, or name another folder")


COLUMNS = ("part", "clip", "label", "content")


def clip_key(name: str, content: bytes) -> str:
    """Clips with the same key are the same clip, also in another folder or in a store."""
    return f"{PurePath(name).name} {content.hex()[:16]}"


def write_clip_table(path: Path, data: RunData, contents: dict[str, list[bytes]]) -> None:
    """A line for each clip: its part, path, class, and the hash of its number of frames and its middle frame."""
    with whole_file(path) as beside, beside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for part, source in data.parts.items():
            for index, content in enumerate(contents[part]):
                name = source.name(index)
                rows.writerow([part, name, data.names[source.labels[index]], content.hex()[:16]])


def keys_in(path: Path, parts: Sequence[str]) -> set[str]:
    """The keys of the clips in these parts; of a file that is no such table, BadInput."""
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
        return {f"{PurePath(row['clip']).name} {row['content']}" for row in rows if row["part"] in parts}
    except (OSError, KeyError, csv.Error) as error:
        raise BadInput(f"{path}: cannot be read as the clips of a run ({error}); train the run again") from None
