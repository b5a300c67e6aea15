"""What a run of recognise.py leaves in its folder."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dfer.bad_input import BadInput

# In bytes: file systems hold 255, and a file that is being written has the number of its process before its name.
LONGEST_NAME = 255 - len(".4194304-.faces.mp4")


@dataclass(frozen=True)
class Outputs:
    """The files of one video; those that were not asked for are None."""

    table: Path
    page: Path
    scores: Path | None
    annotations: Path | None
    annotated: Path | None
    is_first_run: bool
    """Whether nothing was in the folder before."""

    def all(self) -> list[Path]:
        every = (self.table, self.page, self.scores, self.annotations, self.annotated)
        return [path for path in every if path is not None]


def plan_outputs(
    folder: Path, name: str, *, scores: bool, annotations: bool, annotated: str | None, overwrite: bool
) -> Outputs:
    """Names under `folder`, which is made. BadInput: it cannot be, or there is such a file already.

    name: that of the source with its suffix, so that a.mov and a.mp4 have outputs of their own. annotated: the suffix
    of the annotated video or picture.
    """
    name = _shortened(name)
    outputs = Outputs(
        folder / f"{name}.csv",
        folder / f"{name}.html",
        folder / f"{name}.json" if scores else None,
        folder / f"{name}.eaf" if annotations else None,
        folder / f"{name}.faces{annotated}" if annotated else None,
        is_first_run=not folder.is_dir() or not any(folder.iterdir()),
    )
    for path in outputs.all():
        if path.exists() and not overwrite:
            raise BadInput(f"{path} exists; add --overwrite, or name another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: cannot be made ({error.strerror}); name another folder") from None
    return outputs


def _shortened(name: str) -> str:
    """A name that leaves room for the longest suffix; of a shortened one the hash keeps it apart from others."""
    encoded = os.fsencode(name)
    if len(encoded) <= LONGEST_NAME:
        return name
    # A character that is cut through in the middle is left out.
    kept = encoded[: LONGEST_NAME - 9].decode(errors="ignore")
    return f"{kept}~{hashlib.sha256(encoded).hexdigest()[:8]}"


def refuse_source(source: Path) -> None:
    """BadInput: it is no file that can be read twice."""
    if not source.is_file():
        what = "no such file" if not source.exists() else "a folder" if source.is_dir() else "a pipe or device"
        raise BadInput(f"{source}: {what}; expected the file of a video or picture, which can be read twice")


def relative_address(video: Path, folder: Path) -> str:
    """The address of a video from a folder, fit for a URL: it holds as long as both are moved together."""
    return quote(os.fsencode(Path(os.path.relpath(video.resolve(), folder.resolve())).as_posix()))
