"""Quotations of the paper, and numbers of its figures, tables and sections, exist in the paper."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.paper import FIGURES, QUOTATIONS, SECTIONS, TABLES

ROOT = Path(__file__).parents[1]
MADE = {"_build"}

# Titles of works and pages that are in quotation marks near the word "paper" but do not quote it.
NOT_THE_PAPERS = {
    "Dynamic Facial Expression Recognition of Learners via Adaptive Global Attention and Differential Temporal "
    "Transformer",
    "From paper to code",
}


def pages() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.rst")]
    found += (ROOT / "examples").rglob("*.md")
    return sorted(page for page in found if not MADE & set(page.parts))


def scripts(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    return sorted(path for path in found if not MADE & set(path.parts))


def without_code(text: str) -> str:
    return re.sub(r"``[^`]*``|`[^`\n]*`", "", text)


def words_of_page(text: str) -> str:
    """Remove code, options of directives, and tags."""
    text = re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^:[\w-]+:.*$|<[^>\n]*>", "", without_code(text), flags=re.MULTILINE)


def words_of_script(text: str) -> str:
    """Return the comments, then each string of several words."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    comments = [token.string.lstrip("#% ") for token in tokens if token.type == tokenize.COMMENT]
    strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    sentences = (without_code(string) for string in strings if isinstance(string, str) and " " in string)
    return "\n\n".join([without_code("\n".join(comments)), *sentences])


def words(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return words_of_script(text) if path.suffix == ".py" else words_of_page(text)


def paragraphs(path: Path) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", words(path)):
        yield " ".join(paragraph.split())


def quoted(paragraph: str) -> list[str]:
    return re.findall(r'(?<!\w)"([^"]+)"(?!\w)', paragraph)


def quotes_the_paper(path: Path, paragraph: str) -> bool:
    """Return whether quotations in the paragraph are of the paper: always on two pages, else if it is named nearby."""
    return path.name in {"paper_to_code.md", "experiments.md"} or bool(re.search(r"\bpaper('s)?\b", paragraph))


def is_the_papers(quotation: str) -> bool:
    return any(quotation.rstrip(".,;") in words for words in QUOTATIONS)


def test_quotations_of_the_paper_are_exact() -> None:
    wrong = [
        (path.name, quotation)
        for path in [*pages(), *scripts("src", "examples", "docs")]
        for paragraph in paragraphs(path)
        for quotation in (quoted(paragraph) if quotes_the_paper(path, paragraph) else ())
        if not is_the_papers(quotation) and quotation.rstrip(".,") not in NOT_THE_PAPERS
    ]
    assert not wrong


def test_changed_quotation_is_detected() -> None:
    text = 'The paper says "a 1D depthwise separable convolution is\napplied to the fused differential\nfeatures", and:'
    (exact,) = quoted(" ".join(words_of_page(text).split()))
    assert is_the_papers(exact)
    assert not is_the_papers(exact.replace("fused", "fused temporal"))
    assert quoted(words_of_page('`boundary="wrap"` and the "symmetric padding" of it')) == ["symmetric padding"]


def test_every_listed_quotation_is_used() -> None:
    told = " ".join(" ".join(paragraphs(ROOT / "docs" / name)) for name in ("paper_to_code.md", "experiments.md"))
    used = quoted(told)
    for words in QUOTATIONS:
        assert any(quotation.rstrip(".,;") in words for quotation in used), words


KINDS = {"figure": {str(n) for n in FIGURES}, "table": {str(n) for n in TABLES}, "section": set(SECTIONS)}
NUMBER = r"\d+(?:\.\d+)*"
CITATION = re.compile(rf"\b(figure|table|section)s?\s+({NUMBER}(?:(?:,| and|, and| to|-)\s*{NUMBER})*)", re.IGNORECASE)
# The words before a number of another work.
ELSEWHERE = re.compile(r'"[^"]+", \d{4}, $')


def cited(text: str) -> set[tuple[str, str]]:
    """Return kind and number of each citation, with all numbers of a range."""
    found = set()
    for match in CITATION.finditer(text):
        if ELSEWHERE.search(text[: match.start()]):
            continue
        kind, numbers = match[1].lower(), match[2]
        found |= {(kind, number) for number in re.findall(NUMBER, numbers)}
        for first, last in re.findall(r"(\d+) ?(?:to|-) ?(\d+)", numbers):
            found |= {(kind, str(number)) for number in range(int(first), int(last) + 1)}
    return found


def test_citations_are_parsed() -> None:
    text = 'Tables 3, 4 and 6, Figures 5 to 8; section\n4.2.1 (table 1). He, "Deep Learning", 2016, section 9'
    tables, figures = ("1", "3", "4", "6"), ("5", "6", "7", "8")
    assert cited(" ".join(text.split())) == {
        *(("table", number) for number in tables),
        *(("figure", number) for number in figures),
        ("section", "4.2.1"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_cited_numbers_exist_in_the_paper(kind: str) -> None:
    for path in [*pages(), *scripts("src", "examples", "docs")]:
        for paragraph in paragraphs(path):
            wrong = {number for name, number in cited(paragraph) if name == kind} - KINDS[kind]
            assert not wrong, (path.name, kind, wrong)
