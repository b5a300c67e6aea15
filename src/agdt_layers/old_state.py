"""State dicts from before the first release: keys that were renamed and tensors that were reshaped since."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

# These once had the shape (), which sharded training cannot split.
_ONE_NUMBER = ("alpha_forward", "alpha_backward", "residual_scale")


def current_key(key: str) -> str:
    """Give today's name of a key of a whole net: the attention, once beside the backbone, is in it."""
    return f"backbone.{key}" if key.startswith("attention.") else key


def bring_up_to_date(state_dict: dict[str, Tensor], prefix: str = "") -> None:
    """Rename and reshape in place the entries of a net with this prefix."""
    own = [key for key in state_dict if key.startswith(prefix)]
    if any(key.startswith(f"{prefix}backbone.") for key in own):
        for key in own:
            state_dict[prefix + current_key(key.removeprefix(prefix))] = state_dict.pop(key)
    for key in [key for key in state_dict if key.startswith(prefix) and key.rpartition(".")[2] in _ONE_NUMBER]:
        if state_dict[key].ndim == 0:
            state_dict[key] = state_dict[key].reshape(1)


def accept_old_state(module: nn.Module) -> None:
    """Make load_state_dict of a module, alone or inside another, accept what earlier versions saved."""
    module.register_load_state_dict_pre_hook(_before_loading)


def _before_loading(_module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    bring_up_to_date(state_dict, prefix)
