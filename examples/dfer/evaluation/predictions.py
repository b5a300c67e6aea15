"""Predictions of any program: lines of a clip and a class, or of a clip and a score for each class."""

import csv
import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from dfer.data.data_set import folder_of, read_text
from dfer.errors import BadInput

# Headings by which the two columns are known; without a heading the clip comes first.
CLIP = {"clip", "video", "video_name", "name", "path", "file", "filename", "id", "clipid"}
CLASS = {"answer", "prediction", "predicted", "pred", "class", "label", "emotion"}


class Prediction(NamedTuple):
    clip: str
    answer: int


def tail(path: str, folders: int) -> str:
    """The end of a clip's path, by which programs agree: 00012, 12 and a/12.mp4 are one clip."""
    parts = [part for part in re.split(r"[/\\]+", folder_of(path)) if part]
    return "/".join(str(int(part)) if part.isdecimal() else part for part in parts[-folders:])


def read_predictions(file: Path, names: Sequence[str], first_label: int = 0) -> list[Prediction]:
    lines = [pair for pair in enumerate(read_text(file, "predictions").splitlines(), 1) if pair[1].strip()]
    separator = next((mark for mark in ",\t;" if lines and mark in lines[0][1]), " ")
    rows = [
        (number, [field.strip() for field in next(csv.reader([line.strip()], delimiter=separator))])
        for number, line in lines
    ]
    heading = [field.lower() for field in rows[0][1]] if rows else []
    clip = next((place for place, field in enumerate(heading) if field in CLIP), None)
    answer = None if clip is None else next((place for place, field in enumerate(heading) if field in CLASS), None)
    found = []
    for number, fields in rows if clip is None else rows[1:]:
        values = fields[:]
        path = values.pop(clip or 0)
        value = class_of(values if answer is None else fields[answer : answer + 1], names, first_label)
        if value is None:
            raise BadInput(
                f"{file}:{number}: expected a clip and one of the classes {', '.join(names)}, or its number from "
                f"{first_label}, or {len(names)} scores; got {' '.join(fields)[:100]!r}"
            )
        found.append(Prediction(path, value))
    if not found:
        raise BadInput(f"{file}: holds no predictions; expected lines of a clip and a class, or a score for each class")
    return found


def class_of(values: Sequence[str], names: Sequence[str], first_label: int) -> int | None:
    if len(values) == 1:
        known = {name.lower(): number for number, name in enumerate(names)}
        number = re.fullmatch(r"(\d+)(\.0*)?", values[0])
        value = int(number[1]) - first_label if number else known.get(values[0].lower(), -1)
        return value if 0 <= value < len(names) else None
    try:
        scores = [float(value) for value in values]
    except ValueError:
        return None
    whole = len(scores) == len(names) and all(map(isfinite, scores))
    return scores.index(max(scores)) if whole else None
