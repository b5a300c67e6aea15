"""The script that follows readers detects a missing link, a failing command and outdated output."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def followed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("follow_readers", Path(__file__).parents[1] / "follow_readers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PYTHON = (
    '<div class="highlight-Python"><div class="highlight"><pre>print(<a href="#">1</a> + {})</pre></div></div>'
    '<div class="sphx-glr-script-out highlight-none"><pre>3</pre></div>'
)
CONSOLE = '<div class="highlight-console"><pre><span>$ </span>pip install it\n$ {} examples/a.py</pre></div>'


@pytest.mark.parametrize(
    ("page", "code", "said"),
    [
        (PYTHON.format(2), 0, "prints what the page shows"),
        (PYTHON.format(3), 1, "prints something else"),
        (PYTHON.format("x"), 1, "name 'x' is not defined"),
        (CONSOLE.format("python"), 0, "which .ci/run has run"),
        (CONSOLE.format("echo"), 0, "$ echo examples/a.py"),
        (CONSOLE.format("false"), 1, "false examples/a.py failed with 1"),
        (CONSOLE.format("true").replace("examples", "scripts"), 1, "no command of the page runs a script"),
        ("", 1, "shows no code"),
        (None, 1, "is not there"),
    ],
)
def test_reader_reaches_a_working_page_or_an_error_is_reported(
    followed: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], page: str | None, code: int, said: str
) -> None:
    (tmp_path / "index.html").write_text('<a href="sub/page.html#top"><span>The</span> page</a>')
    (tmp_path / "sub").mkdir()
    if page is not None:
        (tmp_path / "sub" / "page.html").write_text(page)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text("\nrun_readme_command train\n")
    command = "<!-- command: {} -->\n```bash\n{}\n```\n"
    readme = command.format("train", "pip install it\npython examples/a.py") + command.format("never", "false")
    (tmp_path / "README.md").write_text(readme)
    readers = (followed.Reader("somebody", ("The page",)),)
    assert followed.main([str(tmp_path), sys.executable], readers, tmp_path) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err


def test_link_must_be_visible_within_two_clicks(
    followed: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text('<a href="index.html">Start</a>')
    for clicks, said in ((("Elsewhere",), "has no link 'Elsewhere'"), (("Start",) * 3, "more than two clicks")):
        assert followed.main([str(tmp_path), "python"], (followed.Reader("somebody", clicks),)) == 1
        assert said in capsys.readouterr().err
