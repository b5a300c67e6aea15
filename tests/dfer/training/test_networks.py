"""A net that cannot be built is the user's mistake, said in one line."""

from pathlib import Path

import pytest

from dfer.bad_input import BadInput
from dfer.training import networks
from dfer.training.settings import NetSettings


def refuse(*_: object) -> None:
    raise ValueError("holds no\n  weights")


def test_weights_that_do_not_fit_are_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(networks.MODELS, "refusing", refuse)
    settings = NetSettings(model="refusing", dropout=0.0, weights=Path("file.pt"))
    with pytest.raises(BadInput, match=r"^--weights file\.pt: holds no weights$"):
        networks.build_net(settings, classes=2, frames=4)
