"""Every row of the documentation's table of places, inserted into its model. Skipped without timm and torchvision."""

import ast
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from agdt_layers import insert_attention

timm = pytest.importorskip("timm", reason="timm is not installed")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")

PAGE = Path(__file__).parents[2] / "docs" / "add_attention.md"
ROW = re.compile(r"^\| [\w -]+ \| (timm|torchvision) \| `(\w+)` \| `(\[.*\])`(?: of `model\.(\w+)`)? \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


def made(library: str, name: str) -> nn.Module:
    if library == "timm":
        return timm.create_model(name)
    without_weights = {key: None for key in ("weights", "weights_backbone") if key == "weights" or "_resnet50" in name}
    return torchvision.models.get_model(name, **without_weights)


def test_the_table_has_the_families_of_both_libraries() -> None:
    assert len(ROWS) == 14
    assert {library for library, *_ in ROWS} == {"timm", "torchvision"}


@pytest.mark.parametrize(("library", "name", "places", "part"), ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
@torch.no_grad()
def test_attention_is_inserted_at_the_documented_places(library: str, name: str, places: str, part: str) -> None:
    model = made(library, name).eval()
    host = model.get_submodule(part)
    names = ast.literal_eval(places)
    plan = insert_attention(host, names, example_input=torch.rand(1, 3, 224, 224))
    assert [place.name for place in plan.placements] == names
    assert all(max(size) >= 14 for place in plan.placements for size in place.sizes)
    picture = torch.rand(3, 224, 224)
    model([picture] if part else picture[None])
