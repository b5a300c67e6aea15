"""What all runs of an ablation share, written once: the command line, its help and each result come from it."""

from dataclasses import dataclass, field, fields
from typing import Any

from dfer.bad_input import BadInput
from dfer.experiments.campaign import flag


def described(default: int, text: str, least: int) -> Any:
    return field(default=default, metadata={"help": text, "least": least})


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A seed decides the people, the start weights, the order and the dropout of a run; the rest is this."""

    training_people: int = described(40, "people to train on", 1)
    validation_people: int = described(6, "people by whom the epoch is chosen", 1)
    test_people: int = described(20, "people who are tested", 1)
    takes: int = described(3, "clips of each class by each person", 1)
    frames: int = described(4, "frames of a clip", 2)
    size: int = described(40, "side of a frame in pixels", 32)
    width: int = described(16, "channels of the backbone's first stage; a ResNet18 has 64", 8)
    epochs: int = described(5, "passes over the training clips", 1)
    batch_size: int = described(16, "clips of a step", 2)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, least = getattr(self, entry.name), entry.metadata["least"]
            if value < least:
                raise BadInput(f"{flag(entry.name)}: expected a whole number from {least}, got {value}")
        if self.width % 8:
            raise BadInput(f"--width: expected a multiple of 8, the heads of the encoder, got {self.width}")
