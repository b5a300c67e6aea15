"""Predictions of any program: lines of a clip and a class, or of a clip and a score for each class."""

import csv
import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from dfer.data.data_set import numbered_lines
from dfer.data.folders import folder_of
from dfer.errors import BadInput

# Column headings of the clip and of the prediction, the surest first; without a heading the clip comes first.
CLIP = ("clip", "clipid", "video", "video_name", "path", "file", "filename", "name", "id")
CLASS = ("answer", "prediction", "predicted", "pred", "class", "emotion", "label")


class Prediction(NamedTuple):
    """`answer` is the number of a class; from the number of classes on, it is none of them."""

    clip: str
    answer: int


def tail(path: str, folders: int) -> str:
    """The end of a clip's path, so that 00012, 12 and a/12.mp4 are one clip."""
    parts = [part for part in re.split(r"[/\\]+", folder_of(path)) if part]
    return "/".join(str(int(part)) if part.isdecimal() else part for part in parts[-folders:])


def read_predictions(file: Path, names: Sequence[str], first_label: int = 0) -> list[Prediction]:
    lines = numbered_lines(file, "predictions")
    separator = next((mark for mark in ",\t;" if lines and mark in lines[0][1]), " ")
    rows = [[field.strip() for field in next(csv.reader([line], delimiter=separator))] for _, line in lines]
    heading = [field.lower() for field in rows[0]] if rows else []
    clip = next((heading.index(name) for name in CLIP if name in heading), None)
    columns = list(range(1, len(heading)))
    if clip is not None:
        answer = next(([heading.index(name)] for name in CLASS if name in heading), None)
        by_name = [heading.index(name.lower()) for name in names if name.lower() in heading]
        others = [place for place in range(len(heading)) if place != clip]
        columns = answer or (by_name if len(by_name) == len(names) else others)
    found = []
    for (number, line), row in list(zip(lines, rows, strict=True))[clip is not None :]:
        complete = len(row) == len(heading)
        value = class_of([row[place] for place in columns], names, first_label) if complete else None
        if value is None:
            raise BadInput(
                f"{file}:{number}: expected a clip and one of the classes {', '.join(names)}, or its number from "
                f"{first_label}, or {len(names)} scores; got {line[:100]!r}"
            )
        found.append(Prediction(row[clip or 0], value))
    if not found:
        raise BadInput(f"{file}: no predictions found; expected lines of a clip and a class, or a score for each class")
    return found


def class_of(values: Sequence[str], names: Sequence[str], first_label: int) -> int | None:
    if len(values) == 1:
        number = re.fullmatch(r"(\d+)(\.0*)?", values[0])
        known = {name.lower(): number for number, name in enumerate(names)}
        value = int(number[1]) - first_label if number else known.get(values[0].lower(), -1)
        return value if value >= 0 else None
    try:
        scores = [float(value) for value in values]
    except ValueError:
        return None
    complete = len(scores) == len(names) and all(map(isfinite, scores))
    return scores.index(max(scores)) if complete else None
