"""Whether a submodule is still as this package made it, so that its parameters may be used without calling it.

Pruning, weight and spectral norm, adapters, quantisation, sharding and hooks change what calling a module computes,
but not always its parameters. Wherever one of them may be at work, the module is called.
"""

from __future__ import annotations

from typing import cast

from torch import nn

_ONES = ((1,), (1, 1))


def is_untouched(module: nn.Module | None, made: type[nn.Module], *parameters: str) -> bool:
    """Whether calling the module applies its own parameters, of these names, and does nothing else."""
    if type(module) is not made or "forward" in module.__dict__:
        return False
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
        return False
    # A loop and not all(): this is asked of every part at every call.
    for name in parameters:
        parameter = module._parameters.get(name)
        if parameter is None or _holds_others(parameter):
            return False
    return True


def is_untouched_convolution(module: nn.Module | None, made: type[nn.Module], *parameters: str) -> bool:
    """The same of a convolution of this package, whose settings are those of the equations: zeros around, every step 1.

    Circular padding and dilation are set from outside, in all convolutions of a model.
    """
    if not is_untouched(module, made, *parameters):
        return False
    settings = cast(nn.Conv2d, module)
    kernel, padding = settings.kernel_size, settings.padding
    return (
        settings.padding_mode == "zeros"
        and settings.stride in _ONES
        and settings.dilation in _ONES
        and kernel[0] // 2 == padding[0]  # Written out, as the loop above: one axis or two, first and last.
        and kernel[-1] // 2 == padding[-1]
    )


def _holds_others(parameter: nn.Parameter) -> bool:
    """Whether the numbers are in other tensors inside, as of a quantised or sharded weight; not all operations work."""
    return type(parameter) is not nn.Parameter and hasattr(parameter, "__tensor_flatten__")


def reads_parameters(model: nn.Module, name: str) -> bool:
    """Whether what holds this module uses its parameters without calling it, as layers of this package do."""
    return hasattr(model.get_submodule(name.rpartition(".")[0]), "is_untouched")
