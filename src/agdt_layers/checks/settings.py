"""What settings may be: sizes, choices and flags, a module, a device and a dtype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers.torch_compat import is_jit_tracing

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# Far beyond any model: a larger number is a slip of the hand, and would fill the memory or never end.
_LARGEST = 2**16


def positive_integer(layer: str, name: str, value: Any, at_most: int | None = None) -> int:
    """Give an integer of any type as an int; the sizes of a traced tensor stay as they are."""
    # While torch.jit traces, sizes are tensors; they hold for every size, and have nothing to be compared with.
    if is_jit_tracing() and isinstance(value, Tensor):
        return value  # type: ignore[return-value]
    if isinstance(value, bool) or not isinstance(value, (Integral, torch.SymInt)):
        raise TypeError(f"{layer} expects {name} to be an integer, got {shown(value)}.")
    number: Any = value if isinstance(value, (int, torch.SymInt)) else int(value)
    if number < 1:
        raise ValueError(f"{layer} expects {name} to be at least 1, got {shown(value)}.")
    if at_most is not None and number > at_most:
        raise ValueError(f"{layer} expects {name} to be at most {at_most:,}, got {shown(value)}.")
    return number


def size(layer: str, name: str, value: Any, at_most: int = _LARGEST) -> int:
    """Give a setting by which parameters, layers or loops grow as an int."""
    return positive_integer(layer, name, value, at_most)


def odd_kernel(layer: str, name: str, value: Any) -> int:
    number = positive_integer(layer, name, value, at_most=1023)
    if number % 2 == 0:
        raise ValueError(
            f"{layer} expects an odd {name}, so that the output is as long as the input; got {number}. "
            f"Take {number - 1} or {number + 1}."
        )
    return number


def divides(layer: str, name: str, value: Any, of: str, total: int) -> int:
    number = positive_integer(layer, name, value)
    if total % number:
        near = ", ".join(str(n) for n in range(1, min(total, 2 * number) + 1) if total % n == 0)
        raise ValueError(f"{layer} expects {name} to divide {of}={total}, got {shown(value)}. Possible: {near}.")
    return number


def one_of(layer: str, name: str, value: object, choices: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{layer} expects {name} to be one of {', '.join(choices)}; got {shown(value)}.")


def flag(layer: str, name: str, value: Any) -> bool:
    of_numpy = type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
    if not isinstance(value, bool) and not of_numpy:
        raise TypeError(f"{layer} expects {name} to be True or False, got {shown(value)}.")
    return bool(value)


def probability(layer: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{layer} expects {name} to be a number in [0, 1), got {shown(value)}.")
    if not 0.0 <= float(value) < 1.0:
        raise ValueError(f"{layer} expects {name} in [0, 1), got {shown(value)}.")
    return float(value)


def module(function: str, name: str, value: object) -> None:
    if not isinstance(value, nn.Module):
        fix = f" Make one: {value.__name__}(...)." if isinstance(value, type) and issubclass(value, nn.Module) else ""
        raise TypeError(f"{function} expects {name} to be a torch.nn.Module, got {shown(value)}.{fix}")


def by_name(layer: str, name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{layer} expects {name} to be a dict, by name; got {shown(value)}.")


def factory(layer: str, device: Any, dtype: Any) -> dict[str, Any]:
    """Give device and dtype as torch's layers take them."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype in DTYPES):
        names = ", ".join(map(str, DTYPES))
        raise TypeError(f"{layer} expects dtype to be one of {names}; got {shown(dtype)}.")
    known = isinstance(device, (str, int, torch.device)) and not isinstance(device, bool)
    try:
        torch.empty(0, device=device if known else None)
    except Exception:  # what torch raises depends on the device and on how it was built
        raise ValueError(
            f'{layer} expects device to be one of this machine, such as "cpu"; got {shown(device)}.'
        ) from None
    if not known and device is not None:
        raise TypeError(f'{layer} expects device to be a torch.device or a string such as "cpu"; got {shown(device)}.')
    return {"device": device, "dtype": dtype}


def shown(value: object) -> str:
    """Show a value in a message, or its type where it would be long."""
    shown = repr(value)
    return shown if len(shown) <= 60 and "\n" not in shown and " at 0x" not in shown else f"a {type(value).__name__}"
