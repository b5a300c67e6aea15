"""Whether a submodule is still what this package made, so that its parameters may be read past its forward pass.

Pruning, weight and spectral norm, adapters, quantisation, sharding and hooks change what a module's call means, and
not always its parameters. Where one of them may be at work, the module is called.
"""

from __future__ import annotations

from torch import nn


def is_untouched(module: nn.Module | None, made: type[nn.Module], *parameters: str) -> bool:
    """Say whether calling the module means applying its own parameters, of these names, and nothing else."""
    return (
        type(module) is made
        and not (module._forward_hooks or module._forward_pre_hooks)
        and not (module._backward_hooks or module._backward_pre_hooks)
        and "forward" not in module.__dict__
        and all(module._parameters.get(name) is not None for name in parameters)
    )
