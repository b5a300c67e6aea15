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
    found = (re.match(r"([\w-]+)>=([\d.]+)", requirement) for requirement in requirements)
    return {match[1]: match[2] for match in found if match}


def test_the_lower_bounds_are_the_versions_that_ci_runs_as_the_oldest() -> None:
    oldest = pins(".ci/oldest.txt")
    claimed = bounds(PROJECT["dependencies"])
    assert claimed.keys() == oldest.keys()
    for name, bound in claimed.items():
        assert oldest[name] in (bound, f"{bound}.0"), name


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_the_lower_bounds_of_an_extra_are_the_versions_of_the_constraints(extra: str) -> None:
    run = pins("constraints.txt")
    for name, bound in bounds(PROJECT["optional-dependencies"][extra]).items():
        assert f"{run[name]}.".startswith(f"{bound}."), f"{name}>={bound} is claimed, {run[name]} was run"


def test_one_python_is_claimed_and_it_is_the_one_that_ci_runs() -> None:
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert [f">={version}" for version in classified] == [PROJECT["requires-python"]]
    assert re.findall(r'python-version: "(.*)"', text(".github/workflows/ci.yml")) == classified


def test_the_readme_names_the_versions_that_are_run() -> None:
    newest, oldest = (pins(name)["torch"] for name in (".ci/newest.txt", ".ci/oldest.txt"))
    claim = " ".join(text("README.md").split())
    assert f"with Python 3.11 and torch {oldest} and {newest}." in claim
    assert f"\n| torch | {oldest} and {newest} |\n" in text("docs/index.md")


def test_changelog_and_citation_agree_on_the_release() -> None:
    citation, changelog = text("CITATION.cff"), text("CHANGELOG.md")
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [agdt_layers.__version__]
    released = re.findall(rf"^## \[{re.escape(agdt_layers.__version__)}\] - (.*)$", changelog, re.MULTILINE)
    assert re.findall(r"^date-released: (.*)$", citation, re.MULTILINE) == released


def test_the_hook_formats_as_ci_does() -> None:
    hook = re.search(r"ruff-pre-commit\n    rev: v(\S+)", text(".pre-commit-config.yaml"))
    assert hook is not None
    assert hook[1] == pins("constraints.txt")["ruff"]


def test_the_workflow_runs_what_a_contributor_runs() -> None:
    assert "- run: .ci/run\n" in text(".github/workflows/ci.yml")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100, ".ci/run cannot be executed"
