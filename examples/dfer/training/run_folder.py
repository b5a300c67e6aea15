"""The folder of a run: one process at a time, and nothing of an earlier run is deleted or overwritten."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dfer.atomic_files import remove_partial_files
from dfer.bad_input import BadInput
from dfer.one_at_a_time import one_at_a_time

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
