"""--help of each script fits a terminal and shows values as people write them."""

import importlib
import re
from pathlib import Path

import pytest

SCRIPTS = sorted(file.stem for file in (Path(__file__).parents[2] / "examples").glob("*.py") if file.stem != "camera")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_fits_80_columns_and_names_no_types(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(script).main(["--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"usage: {script}.py")
    assert [line for line in lines if len(line) > 80] == []
    assert not re.search(r"Optional|Literal|Union|\| None|type:|null", " ".join(lines))
