"""Reading tensors out of files, safely: a file that holds anything but tensors is refused, never executed."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

_log = logging.getLogger(__name__)
_WRAPPERS = ("state_dict", "model")
_PREFIX = "module."


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

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing)
        lines = [f"{self.target}: {len(self.matched)} of {total} tensors loaded"]
        for what, keys in (("missing", self.missing), ("unused", self.unused)):
            if keys:
                shown = ", ".join(keys[:6]) + (f", and {len(keys) - 6} more" if len(keys) > 6 else "")
                lines.append(f"  {what}: {shown}")
        return "\n".join(lines)


def load_weights(model: nn.Module, source: str | PathLike[str] | Mapping[str, Tensor]) -> WeightsReport:
    """Load weights into a whole network or into its backbone, whichever the keys fit.

    Args:
        model: any module; with a submodule ``backbone``, weights of the bare backbone are accepted too.
        source: a ``.safetensors``, ``.pt`` or ``.pth`` file, or a state dict. A ``state_dict`` or ``model`` wrapper
            and a ``module.`` prefix are taken off. Pickled files are read with ``weights_only=True``.

    Returns:
        What matched, what is missing and what was not used. The same is logged, as a warning where something is
        missing.

    Raises:
        FileNotFoundError: no such file.
        ValueError: something other than tensors, no key that fits, or a tensor of another shape. The model is then
            unchanged.

    Example:
        >>> net = nn.Linear(2, 3)
        >>> print(load_weights(net, {"module.weight": torch.ones(3, 2), "module.bias": torch.zeros(3)}))
        network: 2 of 2 tensors loaded
    """
    name = "the state dict" if isinstance(source, Mapping) else str(source)
    tensors = _tensors(source if isinstance(source, Mapping) else _read(Path(source)), name)
    target, kind = _target(model, tensors, name)
    expected = target.state_dict()
    matched = tuple(key for key in expected if key in tensors)
    wrong = [
        f"{key} is {tuple(tensors[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in matched
        if tensors[key].shape != expected[key].shape
    ]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{name} does not fit the {kind}: {'; '.join(wrong[:3])}{more}. "
            "Remove these keys or build the model to fit."
        )
    target.load_state_dict({key: tensors[key] for key in matched}, strict=False)
    report = WeightsReport(
        target=kind,
        matched=matched,
        missing=tuple(key for key in expected if key not in tensors),
        unused=tuple(key for key in tensors if key not in expected),
    )
    _log.log(logging.WARNING if report.missing else logging.INFO, "%s: %s", name, report)
    return report


def _read(path: Path) -> object:
    if not path.is_file():
        raise FileNotFoundError(f"No weights file at {path}.")
    if path.suffix == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError:
            raise ImportError(f"Reading {path} needs safetensors: pip install safetensors.") from None
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file: {error}.") from None
    if path.suffix not in (".pt", ".pth"):
        raise ValueError(f"{path}: expected a .safetensors, .pt or .pth file, got {path.suffix or 'no suffix'}.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path} holds something other than tensors and was refused; nothing of it was executed. "
            "Save the model's state_dict() instead of the model."
        ) from None
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a readable PyTorch file: {error}.") from None


def _tensors(content: object, name: str) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
                break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{name} holds no state dict; expected tensors by name.")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(f"{name} holds something other than tensors: {key!r} is a {type(value).__name__}.")
    return {key.removeprefix(_PREFIX): value for key, value in content.items()}


def _target(model: nn.Module, tensors: dict[str, Tensor], name: str) -> tuple[nn.Module, str]:
    backbone = getattr(model, "backbone", None)
    candidates = [(model, "network")]
    if isinstance(backbone, nn.Module):
        candidates.append((backbone, "backbone"))
    for candidate, kind in candidates:
        if not tensors.keys().isdisjoint(candidate.state_dict()):
            return candidate, kind
    raise ValueError(
        f"{name} has no key of this model: expected keys like {next(iter(model.state_dict()), 'none')!r}, "
        f"got {next(iter(tensors))!r}."
    )
