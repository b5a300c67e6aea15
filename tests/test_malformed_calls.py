"""Malformed calls of every public name end in words of this package that name the thing, or in a right result.

The suite makes 600 calls. By hand, any number: ``MALFORMED_CALLS=20000 MALFORMED_SEED=7 pytest <this file>``.
"""

from __future__ import annotations

import linecache
import os
import random
import signal
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import agdt_layers
from helpers.malformed import Role
from helpers.public_calls import CALLS, RECORDS, Call

NUMBER = int(os.environ.get("MALFORMED_CALLS", "600"))
SEED = int(os.environ.get("MALFORMED_SEED", "0"))
SOURCE = str(Path(agdt_layers.__file__).parent)
LIMIT = 60  # seconds for one call


@contextmanager
def limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"still running after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def result(call: Call, arguments: Mapping[str, Any]) -> Any:
    with warnings.catch_warnings(action="ignore"), limited():
        torch.manual_seed(0)
        try:
            return call.run(**arguments)
        except Exception as error:
            return error


def drawn(call: Call, choose: random.Random) -> tuple[dict[str, Any], dict[str, Any] | None, str, list[str]]:
    """Give arguments of which one or two are odd or wrong, the plain ones if none is wrong, and a description."""
    # Made again for each call: what one call changes must not reach the other.
    makes = {name: (role.plain, role.plain) for name, role in call.arguments.items()}
    described, refused = [], False
    varied = [name for name, role in call.arguments.items() if role.odd or role.wrong]
    for name in choose.sample(varied, min(len(varied), choose.choice((1, 1, 1, 2)))):
        role: Role = call.arguments[name]
        if role.odd and (not role.wrong or choose.random() < 0.35):
            label, makes[name] = choose.choice(list(role.odd.items()))
        else:
            label, make = choose.choice(list(role.wrong.items()))
            makes[name], refused = (make, make), True
        described.append((name, label))
    arguments = {name: odd() for name, (odd, _) in makes.items()}
    plain = None if refused else {name: make() for name, (_, make) in makes.items()}
    return arguments, plain, ", ".join(f"{n}={label}" for n, label in described), [name for name, _ in described]


def fault_of_error(error: Exception, names: list[str]) -> str | None:
    """Say what is wrong with an error; None where it is as it should be."""
    if not isinstance(error, (ValueError, TypeError, FileNotFoundError)):
        return f"{type(error).__name__}: {error!s:.300}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = linecache.getline(frame.filename, frame.lineno or 0)
    if not frame.filename.startswith(SOURCE) or not line.strip().startswith("raise "):
        return f"not in this package's words: {type(error).__name__}: {error!s:.300}"
    message = str(error)
    if len(message.splitlines()) > 3 or len(message) > 600:
        return f"too long: {message}"
    if not any(name in message for name in names):
        return f"names nothing: {message}"
    return None


def same(value: Any, plain: Any) -> bool:
    if isinstance(value, torch.Tensor) and isinstance(plain, torch.Tensor):
        value, plain = value.detach().as_subclass(torch.Tensor), plain.detach()
        return value.shape == plain.shape and torch.allclose(value.to(plain.dtype), plain, rtol=1e-4, atol=1e-5)
    if isinstance(value, Mapping):
        return value.keys() == plain.keys() and all(same(value[key], plain[key]) for key in value)
    if isinstance(value, (tuple, list)):
        return len(value) == len(plain) and all(map(same, value, plain))
    return bool(value == plain)


def fault(name: str, call: Call, choose: random.Random) -> str | None:
    arguments, plain, description, changed = drawn(call, choose)
    names = [name, *agdt_layers.__all__, *(c.removeprefix("call_") for c in changed), "state dict", "example input"]
    names += [ascii(str(arguments[c]))[1:60].rstrip("'") for c in changed if isinstance(arguments[c], (str, Path))]
    names += [repr(part) for c in changed if isinstance(arguments[c], (list, dict)) for part in arguments[c]]
    names += [type(value).__name__ for value in arguments.values() if isinstance(value, torch.nn.Module)]
    came = result(call, arguments)
    found: str | None
    if isinstance(came, Exception):
        found = fault_of_error(came, names)
        if found is None and plain is not None:
            found = f"refused though it means the same as a plain call: {came}"
    elif plain is None:
        found = "accepted"
    else:
        found = None if same(came, result(call, plain)) else "another result than that of the plain call"
    return None if found is None else f"{name}({description}): {found}"


def faults(number: int, seed: int) -> list[str]:
    choose = random.Random(seed)
    calls = [(name, call) for name, each in CALLS.items() for call in each]
    found = (fault(*choose.choice(calls), choose) for _ in range(number))
    return sorted({each for each in found if each is not None})


def test_every_public_name_is_called() -> None:
    assert {*CALLS, *RECORDS} == set(agdt_layers.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_the_plain_call_is_right(name: str) -> None:
    for call in CALLS[name]:
        came = result(call, {argument: role.plain() for argument, role in call.arguments.items()})
        assert not isinstance(came, Exception), came


@pytest.mark.timeout(600)
def test_a_malformed_call_is_refused_in_words_or_right() -> None:
    found = faults(NUMBER, SEED)
    assert not found, f"{len(found)} faults in {NUMBER} calls:\n" + "\n".join(found)
