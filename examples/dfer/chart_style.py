"""How charts look: no ground of their own, colours that are read on white and on black, as wide as a phone."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from dfer.atomic_files import whole_file

# Each has a contrast of 3 or more against white and against a page's dark ground; text, INK, has 4.3 against both.
INK, MUTED, BLUE, ORANGE, GREEN, PURPLE = "#737b87", "#8a919c", "#3f7fc4", "#d9772b", "#3a8f6b", "#9a6fc4"
# Figures on the light cells of a heat map, which are the same on every page.
ON_LIGHT = "#22262e"
# Inches: on a phone, text of 10 points is then 10 pixels high.
WIDTH = 5.2
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": MUTED,
    "grid.alpha": 0.3,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.dpi": 150,
}


def save(figure: Figure, path: Path, *, dpi: int = 200) -> None:
    """Write the figure as a PNG and close it."""
    with whole_file(path) as beside:
        figure.savefig(beside, dpi=dpi, format="png", bbox_inches="tight")
    plt.close(figure)
