"""Draw the charts of these pages again from the numbers that are committed beside them: python docs/redraw.py"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent / name) for name in ("src", "examples")]

import torch  # noqa: E402

from dfer.benchmarking.report import draw_deployed  # noqa: E402
from dfer.evaluation.attention_pictures import draw_explanation  # noqa: E402
from dfer.evaluation.complexity_plot import draw_cost_against_score  # noqa: E402
from dfer.evaluation.pictures import draw_confusion  # noqa: E402
from dfer.experiments.drawings import draw_example_clips, draw_pictures, draw_scores  # noqa: E402
from dfer.experiments.hard_faces import Protocol  # noqa: E402
from dfer.models import AGDTNET_ROWS  # noqa: E402


def numbers(path: str) -> dict[str, Any]:
    return json.loads((DOCS / path).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def main() -> None:
    draw_deployed(DOCS / "benchmark/deployed.png", numbers("benchmark/benchmark.json"))
    rows = numbers("complexity/complexity.json")["rows"]
    draw_cost_against_score(DOCS / "complexity/complexity.png", rows, tuple(AGDTNET_ROWS))
    ablation = numbers("experiments/ablation.json")
    draw_scores(DOCS / "experiments/ablation.png", ablation)
    draw_example_clips(DOCS / "experiments/clips.png", Protocol(**ablation["settings"]))
    draw_pictures(DOCS / "experiments/pictures.png", numbers("experiments/pictures.json"))
    evaluation = numbers("images/evaluation.json")
    (run,) = evaluation["runs"]
    title = f"UAR {100 * run['uar']:.1f} %, WAR {100 * run['war']:.1f} %"
    draw_confusion(DOCS / "images/evaluation.png", torch.tensor(run["confusion"]), evaluation["classes"], title)
    draw_explanation(DOCS / "images/explanation.png", numbers("images/explanation.json"))
    draw_dots(DOCS / "images")


def draw_dots(images: Path) -> None:
    """Run the block of docs/look_inside.md that draws dots.png."""
    page = (DOCS / "look_inside.md").read_text(encoding="utf-8")
    code = page.partition("<!-- draws: images/dots.png -->\n```python\n")[2].partition("```")[0]
    with contextlib.chdir(images):
        exec(code, {})


if __name__ == "__main__":
    main()
