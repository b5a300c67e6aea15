"""A bar on a terminal, a line a clip in a log."""

import sys
from types import TracebackType

from rich import progress
from rich.console import Console

from dfer.video.preparation_reports import Report


class Progress:
    """Counts clips; on a terminal only what needs attention gets a line of its own above the bar."""

    def __init__(self, clips: int, done: int) -> None:
        self._console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
        self._bar = progress.Progress(
            progress.TextColumn("clips"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._clips, self._done = clips, done
        self._task = self._bar.add_task("clips", total=clips, completed=done)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, name: str, report: Report) -> None:
        self._done += 1
        self._bar.advance(self._task)
        if report.problem or report.status != "prepared" or not self._console.is_terminal:
            self._console.print(f"[{self._done}/{self._clips}] {name}: {report.in_words()}")
            self._console.file.flush()
