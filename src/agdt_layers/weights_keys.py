"""Which key of a file means which key of a model, whatever wrapped the one or wraps the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

BACKBONE = "backbone."
# What DataParallel, DDP, AveragedModel, torch.compile, activation checkpointing and FSDP put into a key.
_WRAPPER_PARTS = {"module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
# The names under which training modules hold the model that they train.
_OWNERS = ("model.", "net.", "network.")


def _bare(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in _WRAPPER_PARTS)


def names_of(places: Iterable[str]) -> dict[str, dict[str, str]]:
    """Give the model's keys by their bare names, as the whole network's and as the backbone's."""
    keys = defaultdict(list)
    for key in places:
        keys[_bare(key)].append(key)
    network = {(bare if len(same) == 1 else key): key for bare, same in keys.items() for key in same}
    backbone = {name.removeprefix(BACKBONE): key for name, key in network.items() if name.startswith(BACKBONE)}
    return {"network": network, "backbone": backbone}


def without_owner(given: Mapping[str, object], targets: Iterable[Mapping[str, str]], name: str) -> dict[str, object]:
    """Give the tensors by the keys that they have without an owner's name, where no key fits with it."""
    targets = list(targets)
    if any(meanings(names, given) for names in targets):
        return dict(given)
    fit = {}
    for owner in _OWNERS:
        owned = {_bare(key).removeprefix(owner): value for key, value in given.items() if _bare(key).startswith(owner)}
        if any(meanings(names, owned) for names in targets):
            others = {key: value for key, value in given.items() if not _bare(key).startswith(owner)}
            fit[owner] = others | owned
    if len(fit) > 1:
        raise ValueError(f"{name} fits as {' and as '.join(map(repr, fit))}. Remove all keys but those of one.")
    return next(iter(fit.values()), {})


def meanings(names: Mapping[str, str], given: Iterable[str]) -> dict[str, list[str]]:
    """Give the keys of the source by the name in the target that each of them means."""
    found = defaultdict(list)
    name_of = {key: name for name, key in names.items()}
    for key in given:
        for meant in (name_of.get(key, key), key, _bare(key), _bare(key)):
            if meant in names:
                found[meant].append(key)
                break
    return dict(found)


def choose(names: Mapping[str, str], given: Iterable[str], name: str) -> dict[str, str]:
    """Give one key of the source by the name of the target; the exact key beats one that a wrapper changed."""
    chosen = {}
    for meant, keys in meanings(names, given).items():
        exact = [key for key in (names[meant], meant) if key in keys] or keys
        if len(exact) > 1 and exact[0] != names[meant]:
            raise ValueError(f"{name} has {' and '.join(map(repr, keys))} for {meant!r}. Remove all but one.")
        chosen[meant] = exact[0]
    return chosen
