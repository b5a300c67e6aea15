"""What a campaign may be asked for: every number from its least one on."""

from dataclasses import asdict, replace

import pytest

from dfer.errors import BadInput
from dfer.experiments.hard_faces import Protocol

LEAST = {
    "training_people": 1,
    "validation_people": 1,
    "test_people": 1,
    "takes": 1,
    "frames": 2,
    "size": 32,
    "width": 8,
    "epochs": 1,
    "batch_size": 2,
}


def test_the_least_of_everything_is_taken() -> None:
    assert asdict(Protocol(**LEAST)) == LEAST


@pytest.mark.parametrize(("name", "least"), LEAST.items(), ids=LEAST)
def test_less_is_refused_under_its_flags_name(name: str, least: int) -> None:
    flag = "--" + name.replace("_", "-")
    with pytest.raises(BadInput, match=f"^{flag}: expected a whole number from {least}, got {least - 1}$"):
        replace(Protocol(), **{name: least - 1})
