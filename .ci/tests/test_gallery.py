"""The gallery's scripts, as a reader has them who downloads one: alone in an empty folder. `.ci/run` runs them all."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "docs" / "gallery_src").glob("*/*.py"))
# What a package is imported as, where that is not its name. The extra brings what the scripts of examples need.
IMPORTED_AS = {"pillow": {"PIL"}, "scikit-video": {"skvideo"}, "CHECKOUT[train]": {"matplotlib"}}
OURS = {"torch", "agdt_layers"}
IN_A_CHECKOUT = {"dfer", "helpers", "small_net", "train"}


def modules_imported(script: Path) -> set[str]:
    """Dotted names of the modules that a script imports."""
    nodes = list(ast.walk(ast.parse(script.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def run_alone(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """As after a download, with the package installed and nothing else of this repository."""
    script = next(script for script in SCRIPTS if script.stem == name)
    shutil.copy(script, folder)
    environment = {"PYTHONPATH": str(ROOT / "src"), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", script.name]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_first_lines_name_what_a_script_needs(script: Path) -> None:
    first = ast.get_docstring(ast.parse(script.read_text())) or ""
    assert "Needs " in first
    packages = re.findall(r"pip install (?:-e )?([^`]+)``", first)
    named = {re.split("==", package)[0].strip('"') for each in packages for package in each.split()}
    allowed = OURS.union(*(IMPORTED_AS.get(name, {name}) for name in named))
    if "PYTHONPATH=CHECKOUT" in first:
        allowed |= IN_A_CHECKOUT
    imported = {name.partition(".")[0] for name in modules_imported(script)}
    assert imported - sys.stdlib_module_names <= allowed


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_no_script_times_the_machine_that_builds_the_page(script: Path) -> None:
    assert not modules_imported(script) & {"time", "timeit", "dfer.benchmarking.measuring"}


@pytest.mark.parametrize("name", ["gate", "drop_in"])
def test_a_script_runs_alone(name: str, tmp_path: Path) -> None:
    run = run_alone(name, tmp_path)
    assert run.returncode == 0, run.stderr


def test_a_script_that_needs_a_checkout_says_so_in_one_line(tmp_path: Path) -> None:
    run = run_alone("curves", tmp_path)
    assert run.returncode != 0
    assert run.stderr.startswith("No module named 'small_net'. curves.py needs what its first lines say")
    assert run.stderr.count("\n") == 1
