"""Which axis of a feature map is C: (N, C, H, W) or (N, H, W, C).

Of axes 1 to 3, the rows scale with the height of the image, the columns with its width, the channels with neither. The
shape at one size does not tell them apart: a Swin's first maps at 384 x 384 are (1, 96, 96, 96).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from agdt_layers.model_copy import ModelCopy, Shape

# For each channel axis, the axes of the rows and of the columns.
_SPATIAL_AXES = {1: (2, 3), 3: (1, 2)}
_SIDES = {"H": "height", "W": "width", "HW": "height and width"}
_Map = tuple[int, ...]


class NoFeatureMap(ValueError):
    """Why attention cannot follow a submodule."""


def channel_axis(model: ModelCopy, name: str, number: int, shape: _Map) -> int:
    """Give the axis of the channels, 1 or 3, in the four-axis output of a submodule's call of that number."""
    grown = {axes: calls[number].output for axes, calls in model.grown_calls_of(name).items()}
    if any(0 in _moved(shape, other) for other in grown.values()):
        raise NoFeatureMap(
            f"The output of {name!r}, {shape}, grows on axis 0 with the image: these are windows or regions, and "
            "attention follows maps of whole images."
        )
    possible = _possible(shape, grown)
    if not possible:
        others = " and ".join(f"{other} at twice the {_SIDES[axes]}" for axes, other in grown.items())
        raise NoFeatureMap(
            f"The output of {name!r} is {shape}, and for images of other sizes {others}: not a feature map, "
            "(N, C, H, W) or (N, H, W, C), whose rows scale with the height and columns with the width."
        )
    if len(possible) > 1:
        possible = _possible_alone(model, name, number, shape)
    if len(possible) > 1:
        possible = _in_proportion(model, shape)
    if len(possible) != 1:
        raise NoFeatureMap(
            f"The output of {name!r} is {shape}, and this example does not tell (N, C, H, W) from (N, H, W, C). "
            "Give an example_input of another size, with H and W unequal."
        )
    return possible.pop()


def _moved(shape: _Map, other: Shape) -> set[int]:
    return {axis for axis in range(4) if len(other) != 4 or shape[axis] != other[axis]}


def _possible(shape: _Map, grown: Mapping[str, Shape]) -> set[int]:
    """Give the channel axes that agree with the shapes at other sizes; both if these say nothing."""
    possible = set()
    for channels, (rows, columns) in _SPATIAL_AXES.items():
        may_move = {"H": {rows}, "W": {columns}, "HW": {rows, columns}}
        if all(_moved(shape, other) <= may_move[axes] for axes, other in grown.items()):
            possible.add(channels)
    return possible


def _possible_alone(model: ModelCopy, name: str, number: int, shape: _Map) -> set[int]:
    """Ask the submodule alone, in a model that takes one size: on maps with more channels, most do not run."""
    possible: set[int] = set()
    for rows, columns in _SPATIAL_AXES.values():
        grown = model.shapes_alone(name, number, rows, columns)
        if grown:
            possible |= _possible(shape, grown)
    return possible or set(_SPATIAL_AXES)


def _in_proportion(model: ModelCopy, shape: _Map) -> set[int]:
    image = next((value for value in model.inputs if isinstance(value, Tensor) and value.ndim >= 4), None)
    height, width = (1, 1) if image is None else image.shape[-2:]
    # One row or column more or less is what rounding at a stride may do.
    return {
        channels
        for channels, (rows, columns) in _SPATIAL_AXES.items()
        if abs(shape[rows] * width - shape[columns] * height) <= height + width
    }
