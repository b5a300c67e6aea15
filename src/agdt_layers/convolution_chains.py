"""What follows the convolutions of a model when it runs: a batch norm, a ReLU, and whether anything else looks on."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from agdt_layers.hosts.trial import ModelCopy
from agdt_layers.untouched import is_untouched, reads_parameters

# A tensor as it was when something came out of a module. What is changed in place, as by `x += shortcut`, has the same
# id and another version.
_Key = tuple[int, int]


class Chain(NamedTuple):
    """The names of a convolution, of the batch norm that takes its output, and of the ReLU that alone comes next."""

    convolution: str
    norm: str | None
    relu: str | None
    is_shared: bool
    """Something else takes the convolution's output too."""


def find_chains(model: nn.Module, inputs: tuple[Any, ...]) -> list[Chain]:
    """Find the convolutions that run and what follows them, each as torch made it; followers that run once."""
    twin = ModelCopy(model, inputs)
    modules = {name: module for name, module in twin.model.named_modules() if _is_known(module)}
    record = _Record()
    handles = [handle for name, module in modules.items() for handle in record.watch(name, module)]
    with record:
        # Kept, so that what the model returns counts as held.
        output = twin.run()
    for handle in handles:
        handle.remove()
    record.close()
    del output
    followers = record.followers()

    def follower(name: str, kind: type[nn.Module]) -> str | None:
        second = followers.get(name)
        return second if second is not None and type(modules[second]) is kind else None

    chains = []
    for name in record.calls:
        if type(modules[name]) is nn.Conv2d and not reads_parameters(twin.model, name):
            norm = follower(name, nn.BatchNorm2d)
            if norm is not None and not all(map(record.is_read_once, (modules[name], modules[norm]))):
                norm = None
            last = norm or name
            relu = None if record.is_shared(last) else follower(last, nn.ReLU)
            chains.append(Chain(name, norm, relu, record.is_shared(name)))
    return chains


class _Record(TorchFunctionMode):
    """Which module gave what another takes, and how many operations took it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._source: dict[_Key, str] = {}
        self._output: dict[str, _Key] = {}
        self._takers: Counter[_Key] = Counter()
        self._before: dict[str, str | None] = {}
        self._pairs: list[tuple[str, str]] = []
        # While they are kept alive, no other tensor can get their ids.
        self._kept: dict[_Key, Tensor] = {}
        self._held: set[_Key] = set()

    def watch(self, name: str, module: nn.Module) -> tuple[Any, Any]:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._note_input(name, next(iter((*args, *kwargs.values()))))

        return (
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(lambda _, args, output: self._note_output(name, output)),
        )

    def close(self) -> None:
        """End the record, and find out which outputs are held by others: returned, an attribute, in a list."""
        outputs = {key: weakref.ref(output) for key, output in self._kept.items()}
        self._kept.clear()
        gc.collect()
        self._held = {key for key, output in outputs.items() if output() is not None}

    def followers(self) -> Mapping[str, str]:
        """Pairs of modules that each run once, the second on what the first gave."""
        firsts = Counter(first for first, _ in self._pairs)
        return {a: b for a, b in self._pairs if self.calls[a] == self.calls[b] == 1 == firsts[a]}

    def is_shared(self, name: str) -> bool:
        key = self._output[name]
        return self._takers[key] != 1 or key in self._held

    def is_read_once(self, module: nn.Module) -> bool:
        """Whether only the module's one call took its parameters."""
        return all(self._takers[_key(parameter)] == 1 for parameter in module.parameters())

    def _note_input(self, name: str, x: Tensor) -> None:
        self._before[name] = self._source.get(_key(x))

    def _note_output(self, name: str, output: Tensor) -> None:
        self.calls[name] += 1
        first = self._before[name]
        if first is not None:
            self._pairs.append((first, name))
        self._source[_key(output)], self._output[name] = name, _key(output)
        self._takers[_key(output)] = 0  # What an earlier tensor of this id counted is over.
        self._kept[_key(output)] = output

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        taken = {_key(x) for value in (*args, *kwargs.values()) for x in _tensors(value)}
        out = func(*args, **kwargs)
        if _tensors(out):  # Questions, such as for a size, take nothing.
            self._takers.update(taken)
        return out


def _key(x: Tensor) -> _Key:
    return id(x), x._version


def _tensors(value: Any) -> list[Tensor]:
    values = value if isinstance(value, (tuple, list)) else (value,)
    return [each for each in values if isinstance(each, Tensor)]


def _is_known(module: nn.Module) -> bool:
    if isinstance(module, nn.BatchNorm2d):
        return is_untouched(module, nn.BatchNorm2d, "weight", "bias") and module.running_mean is not None
    return is_untouched(module, nn.Conv2d, "weight") or is_untouched(module, nn.ReLU)
