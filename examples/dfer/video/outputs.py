"""What a run of recognise.py leaves in its folder."""

from dataclasses import dataclass
from pathlib import Path

from dfer.errors import BadInput


@dataclass(frozen=True)
class Outputs:
    """The files of one video; those that were not asked for are None."""

    table: Path
    page: Path
    annotations: Path | None
    video: Path | None

    def all(self) -> list[Path]:
        return [path for path in (self.table, self.page, self.annotations, self.video) if path is not None]


def plan_outputs(folder: Path, name: str, *, annotations: bool, video: bool, overwrite: bool) -> Outputs:
    """Names under `folder`, which is made. BadInput: it cannot be, or there is such a file already."""
    outputs = Outputs(
        folder / f"{name}.csv",
        folder / f"{name}.html",
        folder / f"{name}.eaf" if annotations else None,
        folder / f"{name}.faces.mp4" if video else None,
    )
    for path in outputs.all():
        if path.exists() and not overwrite:
            raise BadInput(f"{path} exists; add --overwrite, or name another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: cannot be made ({error.strerror}); name another folder") from None
    return outputs
