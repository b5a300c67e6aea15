"""State dicts of before the first release: what has another name or shape since, brought up to date."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

# Once without axes, which sharded training cannot cut.
_ONE_NUMBER = ("alpha_forward", "alpha_backward", "residual_scale")


def bring_up_to_date(state_dict: dict[str, Tensor], prefix: str = "") -> None:
    """Rename and reshape in place what belongs to a net with this prefix."""
    attention, backbone = f"{prefix}attention.", f"{prefix}backbone."
    if any(key.startswith(backbone) for key in state_dict):
        for key in [key for key in state_dict if key.startswith(attention)]:
            state_dict[backbone + key.removeprefix(prefix)] = state_dict.pop(key)
    for key in [key for key in state_dict if key.startswith(prefix) and key.rpartition(".")[2] in _ONE_NUMBER]:
        if state_dict[key].ndim == 0:
            state_dict[key] = state_dict[key].reshape(1)


def accept_old_state(module: nn.Module) -> None:
    """Let load_state_dict of a module, alone or inside another, take what earlier versions saved."""
    module.register_load_state_dict_pre_hook(_before_loading)


def _before_loading(_module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    bring_up_to_date(state_dict, prefix)
