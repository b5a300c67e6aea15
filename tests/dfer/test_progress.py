"""A bar on a terminal, for what takes long; nothing in a log."""

import io
import sys

import pytest

from dfer import progress
from dfer.progress import track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "seconds", "shown"), [(io.StringIO, 0.0, False), (Terminal, 0.0, True), (Terminal, 60.0, False)]
)
def test_a_bar_appears_on_a_terminal_once_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], seconds: float, shown: bool
) -> None:
    monkeypatch.setattr(progress, "SECONDS", seconds)
    monkeypatch.setenv("TERM", "xterm")
    written = stream()
    monkeypatch.setattr(sys, "stderr", written)
    assert list(track(iter("abc"), "reading clips", 3)) == ["a", "b", "c"]
    assert ("reading clips" in written.getvalue()) == shown


def test_an_error_in_the_loop_ends_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())

    def broken() -> object:
        yield from "ab"
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(track(broken(), "reading", 3))  # type: ignore[call-overload]
