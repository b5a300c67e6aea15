import re

import pytest

from dfer.benchmarking import loading


def test_report_lists_three_loaders_at_two_sizes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "BATCH", 2)
    monkeypatch.setattr(loading, "SIZE", 32)
    assert loading.main(["--seconds", "0"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"JPEG files of (\d+) x", printed) == ["32", "64"]
    assert (
        len(re.findall(r"^  (?:folders, augmented one by one|folders|store) +\d+ +\d+\.\d\d x folders$", printed, re.M))
        == 6
    )
    assert printed.count("1.00 x folders") >= 2
