"""Every cited equation number is the paper's, and is cited where that equation is computed."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEDGER = (ROOT / "docs" / "paper_to_code.md").read_text(encoding="utf-8")

# The paper's number for each symbol, and the start of the formula on the page from paper to code.
NUMBERING = {
    "f_avg": (1, r"f_{avg} ="),
    "f_max": (2, r"f_{max} ="),
    "A": (3, "A ="),
    "B": (4, "B ="),
    "w": (5, "w ="),
    "f_att": (6, "f_{att} ="),
    "Xc": (7, "X_c ="),
    "z_avg": (8, "z_{avg} ="),
    "z_max": (9, "z_{max} ="),
    "z_att": (10, "z_{att} ="),
    "Xs": (11, "X_s ="),
    "z_gc": (12, "z_{gc} ="),
    "Xt": (13, "X_t ="),
    "roll_forward": (14, r"\mathrm{Roll}(x, +s)"),
    "roll_backward": (15, r"\mathrm{Roll}(x, -s)"),
    "delta_f": (16, r"\Delta_f[t] ="),
    "delta_b": (17, r"\Delta_b[t] ="),
    "d": (18, "d ="),
    "d'": (19, "d' ="),
    "G": (20, "G ="),
    "y": (21, "y = x + G"),
    "Z": (22, "Z = X' + e_{pos}"),
    "P": (23, r"P = \mathrm{softmax}(Q K^T / \sqrt{C'})"),
    "PV": (24, "P V"),
    "residual_MLP": (25, r"Z' + \mathrm{MLP}"),
}
CHANNEL = "f_avg f_max A B w f_att Xc"
CONVOLUTIONAL = "z_avg z_max z_att Xs z_gc Xt"
MAP = CONVOLUTIONAL.replace("z_gc ", "")
DIFFERENCE = "roll_forward roll_backward delta_f delta_b d"
ENHANCER = f"{DIFFERENCE} d' G y"
LAYER = "P PV residual_MLP"

# The symbols that each function, class or module computes. A new citation needs a line here.
COMPUTES = {
    "attention.ChannelWeights": "A B w f_att",
    "attention.AdaptiveChannelAttention": CHANNEL,
    "attention.SpatialAttention": MAP,
    "attention.GlobalContext": "z_gc",
    "attention.GlobalConvolutionalAttention": CONVOLUTIONAL,
    "attention.AdaptiveGlobalAttention": f"{CHANNEL} {CONVOLUTIONAL}",
    "functional": MAP,
    "functional.convolve_channels": "w",
    "functional.correlation_means": "A B",
    "functional.gated_sum": "w f_att Xc",
    "functional.convolve_windows": "z_gc",
    "functional.clip_context": "Xt",
    "functional.temporal_difference": DIFFERENCE,
    "functional.pad_time": "d'",
    "functional.self_attention": "P PV",
    "functional.attention_probabilities": "P",
    "feature_maps.pool_windows": "f_avg f_max z_gc",
    "feature_maps.rescale": MAP,
    "kernels.SpatialKernel": "z_att",
    "kernels.WindowKernel": "z_gc",
    "kernels.TemporalKernel": "d'",
    "temporal": "d'",
    "temporal.DifferentialTemporalEnhancer": ENHANCER,
    "temporal.EncoderLayer": LAYER,
    "temporal.DTFormer": f"{ENHANCER} Z {LAYER}",
    "reference.channel_attention": CHANNEL,
    "reference.spatial_weights": "z_avg z_max z_att Xs",
    "reference.context_weights": "z_gc",
    "reference.global_convolutional_attention": CONVOLUTIONAL,
    "reference.adaptive_global_attention": f"{CHANNEL} {CONVOLUTIONAL}",
    "reference.enhanced_clip": ENHANCER,
    "reference.differential_enhancement": ENHANCER,
    "reference.self_attention": "P PV",
    "reference.dtformer": f"{ENHANCER} Z {LAYER}",
}
# These cite equations of other papers.
OTHER_PAPERS = {"reference.squeeze_excitation", "reference.cbam"}

RANGE = r"\d+(?:-\d+)?"
CITATION = re.compile(rf"\b(?:eqs?\.|equations?)\s+({RANGE}(?:(?:,| and|, and)\s+{RANGE})*)", re.IGNORECASE)


def cited(text: str) -> set[int]:
    numbers: set[int] = set()
    for citation in CITATION.findall(text):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", citation):
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def python_files() -> list[Path]:
    files = [path for room in ("src", "tests", "examples", "docs") for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in files if path != Path(__file__).resolve() and "_build" not in path.parts]


def citations_of(path: Path) -> dict[str, set[int]]:
    """Return the numbers cited in a file by the innermost definition that contains them."""
    text = path.read_text(encoding="utf-8")
    lines, owners = text.splitlines(), [path.stem] * len(text.splitlines())

    def enter(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                inner, end = f"{name}.{child.name}", child.end_lineno or child.lineno
                owners[child.lineno - 1 : end] = [inner] * (end - child.lineno + 1)
                enter(child, inner)

    enter(ast.parse(text), path.stem)
    texts: dict[str, str] = defaultdict(str)
    for owner, line in zip(owners, lines, strict=True):
        texts[owner] += line + "\n"
    return {owner: cited(owned) for owner, owned in texts.items() if cited(owned)}


def test_citations_are_parsed() -> None:
    assert cited("(eqs. 7-9, 11 and 13), Eq. 2; equations 4-5; eq.\n12") == {7, 8, 9, 11, 13, 2, 4, 5, 12}
    assert [number for number, _ in NUMBERING.values()] == list(range(1, 26))


def test_equation_numbers_are_cited_where_they_are_computed() -> None:
    found = {}
    for path in python_files():
        found |= {owner: numbers for owner, numbers in citations_of(path).items() if owner not in OTHER_PAPERS}
    expected = {owner: {NUMBERING[symbol][0] for symbol in symbols.split()} for owner, symbols in COMPUTES.items()}
    assert found == expected


def ledger_rows() -> list[list[str]]:
    rows = re.findall(r"^\| (\d+|text) \| (.*) \|$", LEDGER, re.MULTILINE)
    return [[number, *cells.split(" | ")] for number, cells in rows]


@pytest.mark.parametrize(("number", "formula"), NUMBERING.values(), ids=NUMBERING)
def test_page_lists_each_equation_under_its_number(number: int, formula: str) -> None:
    (printed,) = [row[1] for row in ledger_rows() if row[0] == str(number)]
    assert printed.startswith("$" + formula)


def test_every_row_names_a_line_and_a_test() -> None:
    rows = ledger_rows()
    assert sum(row[0] == "text" for row in rows) == 7
    for row in rows:
        assert "{line}`" in row[-2], row
        assert "{test}`" in row[-1], row


def test_sections_cite_only_their_own_equations() -> None:
    sections = re.split(r"^## ", LEDGER, flags=re.MULTILINE)
    bounded = [section for section in sections if cited(section.splitlines()[0])]
    assert set().union(*(cited(section.splitlines()[0]) for section in bounded)) == set(range(1, 26))
    for section in bounded:
        title, _, body = section.partition("\n")
        assert cited(body) <= cited(title), title
        assert {int(row) for row in re.findall(r"^\| (\d+) \|", body, re.MULTILINE)} == cited(title)


def test_other_pages_cite_no_equation_number() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.rst")]
    for page in pages:
        if page.name != "paper_to_code.md" and "_build" not in page.parts:
            assert not cited(page.read_text(encoding="utf-8")), page.name


def test_all_ten_readings_give_a_reason_and_a_counterargument() -> None:
    readings = re.findall(r"\{admonition\} Reading (\d+): .*\n((?:(?!:::).*\n)+):::", LEDGER)
    assert sorted(int(number) for number, _ in readings) == list(range(1, 11))
    for number, text in readings:
        reason, *against = text.split("\n*Against it:*")
        assert len(reason.split()) > 10, f"reading {number} has no reason"
        assert len(against) == 1, f"reading {number} has no argument against it"
