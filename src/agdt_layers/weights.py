"""Weights into a model: whatever wraps the file's keys or the model's, all of them or none, and a report."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike

import torch
from torch import Tensor, nn

from agdt_layers.weights_file import read_weights, state_dict_in
from agdt_layers.weights_keys import BACKBONE, choose, meanings, names_of, without_owner

_log = logging.getLogger(__name__)
_ATTENTION = re.compile(r"(^|\.)agdt_attention(_further_up)?\.|^(backbone\.)?attention\.layer\d\.")


@dataclass(frozen=True)
class WeightsReport:
    """What :func:`load_weights` did; ``print`` it.

    Attributes:
        target: "network" or "backbone".
        matched: keys that were loaded.
        missing: keys of the target that the source lacks and that keep their values.
        unused: keys of the source that the target lacks.
    """

    target: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def new_attention(self) -> tuple[str, ...]:
        """The missing keys of attention, where the source holds no attention at all: it was added afterwards."""
        if any(map(_ATTENTION.search, (*self.matched, *self.unused))):
            return ()
        return tuple(filter(_ATTENTION.search, self.missing))

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing)
        lines = [f"{self.target}: {len(self.matched)} of {total} tensors loaded"]
        new = self.new_attention
        missing = tuple(key for key in self.missing if key not in new)
        for what, keys in (("new attention, as made", new), ("missing", missing), ("unused", self.unused)):
            if keys:
                lines.append(f"  {what}: {_some(keys, 6)}")
        return "\n".join(lines)


def load_weights(model: nn.Module, source: str | PathLike[str] | Mapping[str, Tensor]) -> WeightsReport:
    """Load weights into a whole network or into its backbone, whichever the keys fit better.

    Args:
        model: any module; with a submodule ``backbone``, weights of the bare backbone are accepted too. Wrapped by
            DataParallel, DDP, AveragedModel or torch.compile it loads as it does bare. A model on the meta device gets
            its parameters from the source, on the source's device.
        source: a file by ``torch.save`` (``.pt``, ``.pth``, ``.ckpt``, ``.pth.tar``) or a ``.safetensors`` file, or a
            state dict. A checkpoint's other entries are left alone. The wrappers' parts of a key (``module``,
            ``_orig_mod``) do not count, in any order. Pickled files are read with ``weights_only=True``.

    Returns:
        What matched, what is missing and what was not used. The same is logged, as a warning where something is
        missing. Attention that was added after the source was saved is no warning.

    Raises:
        FileNotFoundError: no such file.
        TypeError: no module, or neither a file nor a state dict.
        ValueError: a file without weights, no key that fits, or a tensor that does not fit: another shape, a kind of
            number that would lose a part (complex, integer, out of range), no dense tensor. The model is then
            unchanged.

    Example:
        >>> net = nn.Linear(2, 3)
        >>> print(load_weights(net, {"module.weight": torch.ones(3, 2), "module.bias": torch.zeros(3)}))
        network: 2 of 2 tensors loaded
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"load_weights expects a torch.nn.Module, got {_shown(model)}.")
    if not isinstance(source, (str, PathLike, Mapping)):
        raise TypeError(f"load_weights expects a file or a state dict, got {_shown(source)}.")
    name = "the state dict" if isinstance(source, Mapping) else str(source)
    entries = state_dict_in(source if isinstance(source, Mapping) else read_weights(source), name)
    given = {key: value for key, value in entries.items() if isinstance(key, str)}
    places: dict[str, Tensor] = model.state_dict(keep_vars=True)
    targets = names_of(places)
    given = without_owner(given, targets.values(), name)
    if not given:
        raise ValueError(
            f"{name} has no key of this model: expected keys like {next(iter(places), 'none')!r}, "
            f"got {next(iter(entries))!r}."
        )
    kind, names = max(targets.items(), key=lambda target: len(meanings(target[1], given)))
    sources = choose(names, given, name)
    # What a module keeps besides tensors (get_extra_state, packed parameters) is not loaded and reported missing.
    found = {names[at]: given[key] for at, key in sources.items() if isinstance(places[names[at]], Tensor)}
    values = _fitting(found, places, f"{name} does not fit the {kind}")
    loaded = set(values) | _tied(values, places, name)
    _copy(model, values, places, name)
    used = set(sources.values())
    report = WeightsReport(
        target=kind,
        matched=tuple(_within(key, kind) for key in names.values() if key in loaded),
        missing=tuple(_within(key, kind) for key in names.values() if key not in loaded),
        unused=tuple(key for key, value in given.items() if key not in used),
    )
    warn = set(report.missing) != set(report.new_attention)
    _log.log(logging.WARNING if warn else logging.INFO, "%s: %s", name, report)
    return report


def _shown(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _some(items: Iterable[str], count: int, mark: str = ", ") -> str:
    items = list(items)
    return mark.join(items[:count]) + (f"{mark}and {len(items) - count} more" if len(items) > count else "")


def _within(key: str, kind: str) -> str:
    return key if kind == "network" else key[key.index(BACKBONE) + len(BACKBONE) :]


def _fitting(values: Mapping[str, object], places: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Give the values in their places' dtypes, or say what does not fit."""
    fitting, wrong = {}, []
    for key, value in values.items():
        misfit = _misfit(value, places[key])
        if misfit is None:
            assert isinstance(value, Tensor)
            fitting[key] = value.detach().to(places[key].dtype).reshape(places[key].shape)
        else:
            wrong.append(f"{key} {misfit}")
    if wrong:
        raise ValueError(
            f"{what}: {_some(wrong, 3, '; ')}. Convert or remove these tensors, or build the model to fit."
        )
    return fitting


def _misfit(value: object, place: object) -> str | None:
    if isinstance(place, (nn.UninitializedParameter, nn.UninitializedBuffer)):
        return "has no shape yet in the model (call the model once before)"
    if not isinstance(value, Tensor) or not isinstance(place, Tensor):
        return f"is a {type(value).__name__}, expected a tensor"
    if value.is_meta:
        return "holds no numbers (it is on the meta device)"
    if value.layout != torch.strided or value.is_nested or value.is_quantized:
        return "is sparse, nested or quantised, expected a dense tensor"
    if value.shape != place.shape and not (value.ndim == 0 and place.shape == (1,)):
        return f"is {tuple(value.shape)}, expected {tuple(place.shape)}"
    if _numbers(value) != _numbers(place):
        return f"is {value.dtype}, expected {place.dtype}"
    if value.dtype != place.dtype and not _survives(value, place.dtype):
        return f"is {value.dtype} with numbers that {place.dtype} does not hold"
    return None


def _numbers(x: Tensor) -> str:
    return "complex" if x.is_complex() else "real" if x.is_floating_point() else "whole"


def _survives(value: Tensor, dtype: torch.dtype) -> bool:
    """Rounding is what a conversion is for; overflow is not."""
    converted = value.to(dtype)
    if _numbers(value) == "whole":
        return torch.equal(converted.to(value.dtype), value)
    wide = torch.complex128 if value.is_complex() else torch.float64
    return torch.equal(converted.to(wide).isfinite(), value.to(wide).isfinite())


def _tied(values: Mapping[str, Tensor], places: Mapping[str, Tensor], name: str) -> set[str]:
    """Give the keys of the model whose tensor has a value, be it under another key."""
    first: dict[int, str] = {}
    for key, value in values.items():
        same = first.setdefault(id(places[key]), key)
        if same != key and not torch.allclose(values[same], value, rtol=0, atol=0, equal_nan=True):
            raise ValueError(
                f"{name} has different numbers for {same} and {key}, which are one tensor in the model. Remove one."
            )
    return {key for key, place in places.items() if id(place) in first}


def _copy(model: nn.Module, values: Mapping[str, Tensor], places: Mapping[str, Tensor], name: str) -> None:
    """Copy all values, or leave the model as it was."""
    real = OrderedDict((key, value) for key, value in values.items() if not places[key].is_meta)
    # Says that the keys are today's, so that no module of torch takes them for an old version's and adds to them.
    real._metadata = getattr(places, "_metadata", None)  # type: ignore[attr-defined]
    before = {key: places[key].detach().clone() for key in real}
    try:
        if real:
            model.load_state_dict(real, strict=False)
        if len(real) < len(values):
            _assign(model, {key: value for key, value in values.items() if key not in real}, places, name)
    except Exception as error:
        refused = _restore(places, real, before)
        if isinstance(error, ValueError):
            raise
        raise ValueError(
            f"{name} could not be copied into the model: {_some(refused, 3) or 'a part of it'} cannot be written to. "
            "Load the weights before the model is sharded, quantised, expanded or made in inference mode."
        ) from error


def _restore(places: Mapping[str, Tensor], values: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> list[str]:
    refused = []
    with torch.no_grad():
        for key, value in before.items():
            try:
                places[key].copy_(values[key])
            except Exception:
                refused.append(key)
            with suppress(RuntimeError):  # what refuses the old value refused the new one too
                places[key].copy_(value)
    return refused


def _assign(model: nn.Module, values: Mapping[str, Tensor], places: Mapping[str, Tensor], name: str) -> None:
    """Give a model on the meta device, where nothing can be copied to, tensors of its own; tied ones stay one."""
    made: dict[int, Tensor] = {}
    for key, value in values.items():
        place = places[key]
        if id(place) not in made:
            own = value.clone()
            parameter = isinstance(place, nn.Parameter)
            made[id(place)] = nn.Parameter(own, requires_grad=place.requires_grad) if parameter else own
    assigned = {key: made[id(place)] for key, place in places.items() if id(place) in made}
    model.load_state_dict(assigned, strict=False, assign=True)
    empty = [key for key, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]
    if empty:
        model.load_state_dict({key: place for key, place in places.items() if place.is_meta}, strict=False, assign=True)
        raise ValueError(
            f"{name} lacks {_some(empty, 3)}, and the model is on the meta device, where they hold no numbers. "
            'Make the model with device="cpu".'
        )
