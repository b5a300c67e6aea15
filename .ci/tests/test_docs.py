"""The pages: the lines and tests that they name exist, and no public name is missing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import agdt_layers

DOCS = Path(__file__).parents[2] / "docs"
sys.path.append(str(DOCS))
from module_table import module_table  # noqa: E402
from places import place_of_line, place_of_test  # noqa: E402

PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
ROLE = re.compile(r"\{(line|test)\}`([^`]+)`")
# Not written by hand: included texts, tables and docstrings.
INCLUDES = {"changelog", "contributing", "mathematics"}
APPENDIX = {"appendix"}


def pages_with(pattern: re.Pattern[str]) -> list[Path]:
    return [page for page in PAGES if pattern.search(page.read_text(encoding="utf-8"))]


def test_site_has_at_most_twelve_written_pages() -> None:
    assert len({page.stem for page in DOCS.glob("*.md")} - INCLUDES - APPENDIX) <= 12


def test_pages_with_places_are_found() -> None:
    assert {"paper_to_code", "experiments"} <= {page.stem for page in pages_with(ROLE)}


@pytest.mark.parametrize("page", pages_with(ROLE), ids=lambda page: page.stem)
def test_lines_and_tests_that_a_page_names_exist(page: Path) -> None:
    for role, target in ROLE.findall(page.read_text(encoding="utf-8")):
        place = place_of_line(target) if role == "line" else place_of_test(target)
        assert place.line > 0


def test_wrong_place_raises() -> None:
    for wrong in ("functional.no_such", "nowhere.channel_weights", "functional.channel_weights :: no such text"):
        with pytest.raises(LookupError):
            place_of_line(wrong)


def test_paper_to_code_has_every_equation() -> None:
    ledger = (DOCS / "paper_to_code.md").read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", ledger, re.MULTILINE)] == list(range(1, 26))


def test_every_public_name_is_in_the_reference() -> None:
    entries = re.findall(r"^   (\w+)$", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(entries) == sorted(agdt_layers.__all__)


def test_layers_call_the_functions_that_the_reference_lists() -> None:
    rows = re.findall(r"^\| (`[A-Z].*?) \| (.*?) \|$", (DOCS / "reference.md").read_text(), re.MULTILINE)
    assert len(rows) == 4
    for layers, functions in rows:
        for layer in re.findall(r"`(\w+)`", layers):
            # The kernels hold a layer's parameters and call the functions for it.
            modules = {part.__module__ for part in getattr(agdt_layers, layer).__mro__} | {"agdt_layers.kernels"}
            files = [sys.modules[name].__file__ or "" for name in modules if name.startswith("agdt_layers")]
            source = "".join(Path(file).read_text(encoding="utf-8") for file in files)
            for function in re.findall(r"`(\w+)`", functions):
                assert f"{function}(" in source, f"{layer} calls {function}?"


def test_every_public_class_documents_its_public_methods() -> None:
    for name in agdt_layers.__all__:
        public = getattr(agdt_layers, name)
        assert (public.__doc__ or "").strip(), name
        if isinstance(public, type):
            for method, value in vars(public).items():
                if not method.startswith("_") and method != "extra_repr" and callable(value):
                    assert (value.__doc__ or "").strip(), f"{name}.{method}"


def test_every_module_is_listed_below_its_imports() -> None:
    above: set[str] = set()
    for row in module_table().splitlines()[2:]:
        name, _, imports = re.fullmatch(r"\| `([\w.]+)` \| .*?\.( Imports (.*)\.)? \|", row).groups()
        assert set(imports.split(", ") if imports else ()) <= above, name
        above.add(name)
    package = Path(agdt_layers.__file__).parent
    modules = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")} - {Path("__init__")}
    assert above == {".".join(part for part in module.parts if part != "__init__") for module in modules}


def test_table_of_uses_matches_the_marks_on_the_tests() -> None:
    run = subprocess.run([sys.executable, str(DOCS / "usage_table.py")], capture_output=True, text=True, check=True)
    assert run.stdout.strip() in (DOCS / "reference.md").read_text(encoding="utf-8")
