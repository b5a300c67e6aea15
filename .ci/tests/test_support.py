"""What is claimed is what is run: bounds, pins, release date, hooks, and the workflow."""

import re
import tomllib
from pathlib import Path

import pytest

import agdt_layers

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+)==(\S+)$", text(name), re.MULTILINE))


def bounds(requirements: list[str]) -> dict[str, str]:
    """The lower bound of every requirement that has one."""
    found = (re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement) for requirement in requirements)
    return {match[1]: match[2] for match in found if match}


def test_lower_bounds_are_the_oldest_versions_in_ci() -> None:
    oldest = pins(".ci/oldest.txt")
    claimed = bounds([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["train"]])
    assert claimed.keys() == oldest.keys() - {"mtcnn"}
    for name, bound in claimed.items():
        assert oldest[name] in (bound, f"{bound}.0"), name


@pytest.mark.parametrize("extra", ["test", "docs"])
def test_lower_bounds_of_extras_match_the_constraints(extra: str) -> None:
    run = pins("constraints.txt")
    for name, bound in bounds(PROJECT["optional-dependencies"][extra]).items():
        assert f"{run[name]}.".startswith(f"{bound}."), f"{name}>={bound} is claimed, {run[name]} was run"


def test_claimed_pythons_are_run_by_ci() -> None:
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert f">={classified[0]}" == PROJECT["requires-python"]
    assert re.findall(r"^test_wheel \w+ (3\.\d+) ", text(".ci/run"), re.MULTILINE) == classified
    assert sorted(re.findall(r"^ +(3\.\d+)$", text(".github/workflows/ci.yml"), re.MULTILINE)) == classified


def test_pages_name_the_tested_versions() -> None:
    oldest, following, newest = (pins(f".ci/{name}.txt")["torch"] for name in ("oldest", "next", "newest"))
    suite, readme = pins("constraints.txt")["torch"], " ".join(text("README.md").split())
    assert f"with Python 3.11 and torch {oldest} and {suite}, Python 3.12 and torch {following}, " in readme
    assert f"Python 3.13 and torch {newest}." in readme
    for python, torch in (("3.11", oldest), ("3.11", suite), ("3.12", following), ("3.13", newest)):
        assert f"\n| {python} | {torch} | " in text("docs/reference.md")


def test_release_is_built_once_and_published_without_a_token() -> None:
    workflow = text(".github/workflows/release.yml")
    assert workflow.count("python -m build") == 1
    assert "id-token: write" in workflow
    assert not re.search("password|secrets", workflow)
    assert all(re.fullmatch(r"\S+@[0-9a-f]{40}  # v[\d.]+", used) for used in re.findall(r"uses: (.*)", workflow))


def test_changelog_and_citation_agree_on_the_release() -> None:
    citation, changelog = text("CITATION.cff"), text("CHANGELOG.md")
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [agdt_layers.__version__]
    released = re.findall(rf"^## \[{re.escape(agdt_layers.__version__)}\] - (.*)$", changelog, re.MULTILINE)
    assert re.findall(r"^date-released: (.*)$", citation, re.MULTILINE) == released


def test_hook_formats_like_ci() -> None:
    hook = re.search(r"ruff-pre-commit\n    rev: v(\S+)", text(".pre-commit-config.yaml"))
    assert hook is not None
    assert hook[1] == pins("constraints.txt")["ruff"]


def test_workflow_runs_the_commands_of_contributing() -> None:
    assert "- run: .ci/run\n" in text(".github/workflows/ci.yml")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100, ".ci/run cannot be executed"
