"""The clips of a run, part by part, in a table of its folder: what its scores rest on."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePath

from dfer.atomic_files import whole_file
from dfer.bad_input import BadInput
from dfer.data.parts import RunData

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
