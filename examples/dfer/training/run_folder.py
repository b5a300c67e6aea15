"""The folder of a run: its lock, its settings.json and its table of clips. An earlier run is never overwritten."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import Any

from dfer.atomic_files import remove_partial_files, whole_file
from dfer.data.parts import RunData
from dfer.errors import BadInput
from dfer.lock import one_at_a_time

SETTINGS, CHECKPOINT, METRICS, WEIGHTS = "settings.json", "last.ckpt", "metrics.json", "weights.safetensors"
CLIPS, CHANGES = "clips.csv", "changed_clips.txt"


@contextmanager
def run_folder(out: Path, *, resume: bool) -> Iterator[None]:
    """Lock `out` for this process. Remove it at the end if nothing was written."""
    if not resume:
        refuse_earlier_run(out)
    lock = out / ".lock"
    with ExitStack() as held:
        try:
            out.mkdir(parents=True, exist_ok=True)
            refusal = f"--out {out}: another run is writing there; wait until it ends, or give another folder"
            held.enter_context(one_at_a_time(lock, refusal))
        except OSError as error:
            raise BadInput(f"--out {out}: cannot be written to ({error.strerror}); give another folder") from None
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
            raise BadInput(f"--out {out} holds a run; continue it with --resume, or give another folder")


def settings_file(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The content of settings.json, from the records of the start and of every resumption."""
    return {**records[0], "resumed": list(records[1:])}


def latest(saved: dict[str, Any]) -> dict[str, Any]:
    """The last record in a settings.json, which says where the clips were found last."""
    return [saved, *saved.get("resumed", ())][-1]


def plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


COLUMNS = ("part", "clip", "label", "content")


def clip_key(name: str, content: bytes) -> str:
    """The same for the same clip in another folder or in a store."""
    return f"{PurePath(name).name} {content.hex()[:16]}"


def write_clip_table(path: Path, data: RunData, contents: dict[str, list[bytes]]) -> None:
    """One line per clip: its part, path, class, and the hash of its number of frames and its middle frame."""
    with whole_file(path) as beside, beside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for part, source in data.parts.items():
            for index, content in enumerate(contents[part]):
                name = source.name(index)
                rows.writerow([part, name, data.names[source.labels[index]], content.hex()[:16]])


def keys_in(path: Path, parts: Sequence[str]) -> set[str]:
    """The keys of the clips in these parts. Raises BadInput if the file is no such table."""
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
        return {f"{PurePath(row['clip']).name} {row['content']}" for row in rows if row["part"] in parts}
    except (OSError, KeyError, csv.Error) as error:
        raise BadInput(f"{path}: cannot be read as the clips of a run ({error}); train the run again") from None
