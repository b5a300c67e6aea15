"""The benchmark's picture: the milliseconds of every deployed form, side by side."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from dfer.chart_style import BLUE, INK, MUTED, ORANGE, STYLE, WIDTH, save

COLOURS = (MUTED, BLUE, ORANGE, INK)


def draw_deployed(path: Path, report: dict[str, Any]) -> None:
    """A panel for a clip and one for a frame; a group of bars for each form, a bar for each network."""
    found = report["deployed"]
    panels = list(dict.fromkeys(each["what"] for each in found))
    forms = list(dict.fromkeys(each["form"] for each in found))
    with plt.rc_context(STYLE):
        figure, _ = plt.subplots(len(panels), 1, figsize=(WIDTH, 2.8 * len(panels)), layout="constrained")
        for panel, what in zip(figure.axes, panels, strict=True):
            names = list(dict.fromkeys(each["network"] for each in found if each["what"] == what))
            times = {(each["network"], each["form"]): each["milliseconds"] for each in found if each["what"] == what}
            width = 0.8 / len(names)
            for number, name in enumerate(names):
                places = [place + width * (number - (len(names) - 1) / 2) for place in range(len(forms))]
                panel.bar(places, [times[name, form] for form in forms], 0.9 * width, color=COLOURS[number], label=name)
            panel.set_xticks(range(len(forms)), [form.replace(" ", "\n") for form in forms])
            panel.set_title(f"{what}, milliseconds")
            panel.legend(frameon=False, fontsize=9, ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, -0.18))
        save(figure, path)
