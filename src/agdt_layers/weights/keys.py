"""Match the keys of a file to the keys of a model, ignoring what wrappers add to either."""

from __future__ import annotations

from collections.abc import Iterable

# The parts of a model that weights can belong to, and the prefix of their keys.
TARGETS = {"network": "", "backbone": "backbone."}
# DataParallel, DDP, AveragedModel, torch.compile, activation checkpointing and FSDP add these to keys.
_WRAPPERS = {"module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
# Training modules hold the model under one of these names. Other files have no prefix.
_OWNERS = ("", "model.", "net.", "network.")


def bare(key: str) -> str:
    """Return the key without what wrappers add."""
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def match(expected: Iterable[str], given: Iterable[str], name: str) -> tuple[str, dict[str, str]]:
    """Return the target that fits most of the given keys, and the given key for each expected key.

    Raises:
        ValueError: two keys differ only in wrapper prefixes, or the keys of two training modules fit.
    """
    expected_keys, given_keys = _by_bare_key(expected, "the model"), _by_bare_key(given, name)
    fits = {}
    for target, prefix in TARGETS.items():
        for owner in _OWNERS:
            owned = {
                prefix + key.removeprefix(owner): full for key, full in given_keys.items() if key.startswith(owner)
            }
            fits[target, owner] = {expected_keys[key]: full for key, full in owned.items() if key in expected_keys}
    (target, owner), best = max(fits.items(), key=lambda fit: len(fit[1]))
    owners = sorted({other for (_, other), fit in fits.items() if other and fit})
    if owner and len(owners) > 1:
        raise ValueError(f"{name} fits with prefix {' and with '.join(map(repr, owners))}. Keep the keys of only one.")
    return target, best


def _by_bare_key(keys: Iterable[str], name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in keys:
        same = found.setdefault(bare(key), key)
        if same != key:
            raise ValueError(f"{name} has {same!r} and {key!r}, which differ only in wrapper prefixes. Remove one.")
    return found
