"""Run the scripts that the built site lets a reader download, each in an empty folder: run_downloads.py SITE.

To be run by the Python of an environment that holds the wheel and what the scripts name in their first lines. A script
that needs a checkout has to say so in one line when there is none; then it runs with the PYTHONPATH that it names.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"MPLBACKEND": "Agg"}
# One process for several scripts, which then train the small net of the gallery once.
IN_TURN = "import runpy, sys\nfor script in sys.argv[1:]: runpy.run_path(script, run_name='__main__')"


def needed_path(script: Path) -> str | None:
    """The PYTHONPATH that a script's first lines name, if it needs a checkout."""
    named = re.search(r"PYTHONPATH=(\S+) python", ast.get_docstring(ast.parse(script.read_text())) or "")
    return named and named[1].replace("CHECKOUT", str(ROOT))


def run(arguments: list[str], scripts: list[Path], path: str | None = None) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        for script in scripts:
            shutil.copy(script, folder)
        environment = ENVIRONMENT | ({"PYTHONPATH": path} if path else {})
        command = [sys.executable, *arguments, *(script.name for script in scripts)]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def failures(site: Path) -> list[str]:
    scripts = sorted(site.glob("_downloads/*/*.py"), key=lambda script: script.name)
    paths = {script: needed_path(script) for script in scripts}
    found = [] if scripts else [f"{site}: nothing to download"]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda script: run([], [script]), scripts))
    for script, alone in zip(scripts, results, strict=True):
        if paths[script] is None and alone.returncode != 0:
            found.append(f"{script.name} failed:\n{alone.stderr}")
        if paths[script] is not None and (alone.returncode == 0 or alone.stderr.count("\n") != 1):
            found.append(f"{script.name} should ask for a checkout in one line, gave:\n{alone.stderr}")
        print(f"{script.name}: {'with a checkout' if paths[script] else 'alone'}")
    for path in filter(None, sorted({path or "" for path in paths.values()})):
        together = run(["-c", IN_TURN], [script for script in scripts if paths[script] == path], path)
        if together.returncode != 0:
            found.append(f"with PYTHONPATH={path}:\n{together.stderr}")
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("run_downloads.py expects the folder of a built site: python .ci/run_downloads.py SITE")
    sys.exit("\n".join(failures(Path(sys.argv[1]))) or 0)
