"""The folder of a run: one process at a time, and nothing of an earlier run is deleted or overwritten."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfer.atomic_files import remove_partial_files
from dfer.bad_input import BadInput

if sys.platform != "win32":
    import fcntl

SETTINGS, CHECKPOINT, METRICS, WEIGHTS = "settings.json", "last.ckpt", "metrics.json", "weights.safetensors"
CHANGES = "changed_clips.txt"


@contextmanager
def run_folder(out: Path, *, resume: bool) -> Iterator[None]:
    """Keep `out` for this process. A folder in which nothing was written is removed again."""
    if not resume:
        refuse_earlier_run(out)
    lock = out / ".lock"
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = lock.open("w")
    except OSError as error:
        raise BadInput(f"--out {out}: cannot be written to ({error.strerror}); name another") from None
    with held:
        # A lock of lockf's kind ends with its process, however that ends, and is not inherited by loaders' workers.
        if sys.platform != "win32":
            try:
                fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadInput(
                    f"--out {out}: another run is writing there; wait for its end, or name another"
                ) from None
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
