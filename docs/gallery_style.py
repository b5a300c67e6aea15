"""The house style, for the figures that the gallery draws: a script on its own draws in matplotlib's."""

from __future__ import annotations

import matplotlib.pyplot as plt

from dfer.chart_style import BLUE, GREEN, MUTED, ORANGE, STYLE


def house_style(_gallery_conf: object, _script: str) -> None:
    """Set before and after every script by sphinx-gallery, which resets matplotlib first."""
    colours = plt.cycler(color=[BLUE, ORANGE, GREEN, MUTED])
    plt.rcParams.update({**STYLE, "axes.prop_cycle": colours})
