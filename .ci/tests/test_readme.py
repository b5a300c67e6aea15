"""What the README shows is what is tested."""

import json

from helpers.readme import ROOT, readme_block


def test_readme_has_at_most_120_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_command_installs_before_it_runs() -> None:
    for name, last in (("train", "examples/train.py"), ("test", "-m pytest"), ("recognise", "video.mp4")):
        lines = readme_block(f"command: {name}").splitlines()
        assert [line.split()[0] for line in lines[:2]] == ["python3", ".venv/bin/pip"]
        assert lines[2].endswith(last)


def test_examples_readme_lists_every_script_and_folder() -> None:
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    for script in (ROOT / "examples").glob("*.py"):
        assert f"| `{script.name}` |" in text
    for folder in (ROOT / "examples" / "dfer").glob("*/__init__.py"):
        assert f"| `{folder.parent.name}` |" in text


def test_readme_scores_match_the_evaluation_page() -> None:
    run = json.loads((ROOT / "docs/images/evaluation.json").read_text())["runs"][0]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"UAR {100 * run['uar']:.1f} %, WAR {100 * run['war']:.1f} % on unseen people" in text
    clips = sum(map(sum, run["confusion"]))
    right = sum(row[place] for place, row in enumerate(run["confusion"]))
    assert f"of all {clips} clips {clips - right} are not" in text
