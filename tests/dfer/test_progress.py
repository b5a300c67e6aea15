"""A progress bar appears on a terminal for slow work, and never in a log."""

import io
import sys
import time
from collections.abc import Iterator

import pytest

from dfer import progress
from dfer.progress import track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def slow_letters() -> Iterator[str]:
    for letter in "abc":
        time.sleep(0.1)
        yield letter


@pytest.mark.parametrize(
    ("stream", "seconds", "shown"), [(io.StringIO, 0.01, False), (Terminal, 0.01, True), (Terminal, 60.0, False)]
)
def test_bar_appears_on_a_terminal_when_work_is_slow(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], seconds: float, shown: bool
) -> None:
    monkeypatch.setattr(progress, "SECONDS", seconds)
    monkeypatch.setenv("TERM", "xterm")
    written = stream()
    monkeypatch.setattr(sys, "stderr", written)
    assert list(track(slow_letters(), "reading clips", 3)) == ["a", "b", "c"]
    assert ("reading clips" in written.getvalue()) == shown


def test_bar_appears_while_the_first_item_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    items = track(slow_letters(), "reading clips", 3)
    next(items)
    assert "reading clips" in written.getvalue()
    assert list(items) == ["b", "c"]


def test_error_in_the_loop_ends_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())

    def broken() -> object:
        yield from "ab"
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(track(broken(), "reading", 3))  # type: ignore[call-overload]
