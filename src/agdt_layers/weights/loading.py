"""Load weights into a model, all or none, and report what matched."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from agdt_layers import checks
from agdt_layers.weights.file import read_weights, state_dict_in
from agdt_layers.weights.keys import TARGETS, bare, match

_log = logging.getLogger(__name__)
_ATTENTION = re.compile(r"(^|\.)agdt_attention(_further_up)?\.|^(backbone\.)?attention\.layer\d\.")


@dataclass(frozen=True)
class WeightsReport:
    """The result of :func:`load_weights`; ``print`` it for a summary.

    Attributes:
        target: "network" or "backbone".
        matched: keys of the target that were loaded, without wrapper prefixes.
        missing: keys of the target that are not in the source and keep their values.
        unused: keys of the source that are not in the target.
    """

    target: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def new_attention(self) -> tuple[str, ...]:
        """The missing keys of attention layers that were added after saving: the source has no attention at all."""
        if any(_ATTENTION.search(bare(key)) for key in (*self.matched, *self.unused)):
            return ()
        return tuple(filter(_ATTENTION.search, self.missing))

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing)
        lines = [f"{self.target}: {len(self.matched)} of {total} tensors loaded"]
        new = self.new_attention
        missing = [key for key in self.missing if key not in new]
        for what, keys in (("new attention, as initialised", new), ("missing", missing), ("unused", self.unused)):
            if keys:
                lines.append(f"  {what}: {_some(keys, 6)}")
        return "\n".join(lines)


def load_weights(model: nn.Module, source: str | PathLike[str] | Mapping[str, Tensor]) -> WeightsReport:
    """Load weights into a whole network or into its backbone, whichever matches more keys.

    Args:
        model: any module, also wrapped by DataParallel, DDP, AveragedModel or torch.compile. If it has a submodule
            ``backbone``, weights of the backbone alone are accepted too. Parameters on the meta device are replaced by
            tensors on the source's device.
        source: a file by ``torch.save`` (``.pt``, ``.pth``, ``.ckpt``, ``.pth.tar``), a ``.safetensors`` file, or a
            state dict. Other entries of a checkpoint are ignored. Wrapper prefixes in keys (``module``, ``_orig_mod``)
            are ignored, as is the name under which a training module holds the model (``model``, ``net``,
            ``network``). Pickled files are read with ``weights_only=True``, and checksums are verified if the format
            has them: safetensors, and ``torch.save`` before torch 1.6, have none.

    Returns:
        The matched, missing and unused keys. The report is also logged, as a warning if anything is missing other than
        attention that was added after the source was saved.

    Raises:
        FileNotFoundError: no such file.
        TypeError: ``model`` is not a module, or ``source`` is neither a file nor a state dict.
        ValueError: a damaged file, a file that holds more than tensors, no matching key, or a tensor with another
            shape or a dtype that cannot be converted (complex, integer, out of range). The model is then unchanged.

    Example:
        >>> net = nn.Linear(2, 3)
        >>> print(load_weights(net, {"module.weight": torch.ones(3, 2), "module.bias": torch.zeros(3)}))
        network: 2 of 2 tensors loaded
    """
    checks.module("load_weights", "model", model)
    if not isinstance(source, (str, PathLike, Mapping)):
        raise TypeError(f"load_weights expects a file or a state dict, got {type(source).__name__}.")
    name = "the state dict" if isinstance(source, Mapping) else str(source)
    content = state_dict_in(source if isinstance(source, Mapping) else read_weights(source), name)
    given = {key: value for key, value in content.items() if isinstance(key, str)}
    state = model.state_dict(keep_vars=True)
    # A state dict may also hold packed parameters and extra state, which are not tensors.
    places = {key: place for key, place in state.items() if isinstance(place, Tensor)}
    target, found = match(places, given, name)
    if not found:
        expected = next(iter(places), None)
        raise ValueError(
            f"{name} has no key of this model: expected keys like {expected!r}, got {next(iter(given))!r}."
        )
    values = _values(places, {place: given[key] for place, key in found.items()}, name)
    _write(model, state, values, name)
    prefix, used = TARGETS[target], set(found.values())
    keys = {key: bare(key).removeprefix(prefix) for key in state if bare(key).startswith(prefix)}
    report = WeightsReport(
        target=target,
        matched=tuple(short for key, short in keys.items() if key in values),
        missing=tuple(short for key, short in keys.items() if key not in values),
        unused=tuple(key for key in given if key not in used),
    )
    complete = report.missing == report.new_attention
    _log.log(logging.INFO if complete else logging.WARNING, "%s: %s", name, report)
    return report


def _some(items: Iterable[str], count: int, mark: str = ", ") -> str:
    items = list(items)
    return mark.join(items[:count]) + (f"{mark}and {len(items) - count} more" if len(items) > count else "")


def _values(places: Mapping[str, Tensor], found: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """Return the value for each key of the model in its dtype, the same value for all keys of a tied tensor."""
    misfits = [f"{key} {what}" for key, value in found.items() if (what := _misfit(value, places[key]))]
    if misfits:
        raise ValueError(
            f"{name} does not fit the model: {_some(misfits, 3, '; ')}. "
            "Convert or remove these tensors, or build the model to fit."
        )
    by_place: dict[int, tuple[str, Tensor]] = {}
    for key, value in found.items():
        converted = value.detach().to(places[key].dtype)
        first, same = by_place.setdefault(id(places[key]), (key, converted))
        if same is not converted and not torch.allclose(same, converted, rtol=0, atol=0, equal_nan=True):
            raise ValueError(
                f"{name} has different values for {first} and {key}, which are one tensor in the model. Remove one."
            )
    return {key: by_place[id(place)][1] for key, place in places.items() if id(place) in by_place}


def _misfit(value: object, place: Tensor) -> str | None:
    if is_lazy(place):
        return "has no shape yet in the model (call the model once first)"
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_nested or value.is_quantized:
        return "is not a dense tensor"
    if value.is_meta:
        return "is on the meta device, without values"
    if value.shape != place.shape:
        return f"is {tuple(value.shape)}, expected {tuple(place.shape)}"
    if value.dtype != place.dtype and not _converts(value, place.dtype):
        return f"is {value.dtype} and cannot be converted to {place.dtype}: another kind of number, or out of range"
    return None


def _converts(value: Tensor, dtype: torch.dtype) -> bool:
    """Return whether a conversion loses no more than rounding does."""
    if (value.is_complex(), value.is_floating_point()) != (dtype.is_complex, dtype.is_floating_point):
        return False
    converted = value.to(dtype)
    if value.is_complex() or value.is_floating_point():
        wide = torch.complex128  # isfinite does not support float8
        return torch.equal(converted.to(wide).isfinite(), value.to(wide).isfinite())
    return torch.equal(converted.to(value.dtype), value)


def _write(model: nn.Module, state: Mapping[str, Any], values: Mapping[str, Tensor], name: str) -> None:
    """Write all values into the model, or leave it unchanged."""

    def load(tensors: Mapping[str, Tensor], assign: bool = False) -> None:
        to_load = OrderedDict(tensors)
        # Module versions, without which some modules rename keys. Copied, because load_state_dict modifies them.
        to_load._metadata = deepcopy(getattr(state, "_metadata", None))  # type: ignore[attr-defined]
        model.load_state_dict(to_load, strict=False, assign=assign)

    written = {id(state[key]) for key in values}
    tensors = (*model.named_parameters(), *model.named_buffers())
    empty = [key for key, tensor in tensors if tensor.is_meta and id(tensor) not in written]
    if empty:
        raise ValueError(
            f"{name} lacks {_some(empty, 3)}, which have no values because the model is on the meta device. "
            'Create the model with device="cpu".'
        )
    before = {key: state[key].detach().clone() for key in values if not state[key].is_meta}
    on_meta = {key: state[key] for key in values if state[key].is_meta}
    made: dict[int, Tensor] = {}
    for key, place in on_meta.items():
        own = values[key].clone()
        made[id(place)] = nn.Parameter(own, place.requires_grad) if isinstance(place, nn.Parameter) else own
    try:
        load({key: made[id(place)] for key, place in on_meta.items()}, assign=True)
        load({key: values[key] for key in before})
    except Exception as error:
        with suppress(Exception):
            load(on_meta, assign=True)
        with suppress(Exception):  # raises for the tensors that cannot be written at all
            load(before)
        reason = str(error).splitlines()[-1:]
        raise ValueError(
            f"{name} could not be copied into the model, which is unchanged: {''.join(reason).strip()} "
            "Load the weights before sharding, quantising or expanding the model, and outside inference mode."
        ) from error
