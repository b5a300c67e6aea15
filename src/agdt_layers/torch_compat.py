"""Names that are not public in every supported version of torch, each with a slower but correct fallback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Variable, forward_ad
from torch.nn.grad import conv2d_input, conv2d_weight


def is_exporting() -> bool:
    """Say whether torch.export or torch.jit is tracing, whose graphs other engines read."""
    return _is_exporting() or is_jit_tracing()


def _is_exporting_before_2_7() -> bool:
    if not torch.compiler.is_compiling():
        return False
    return not torch.compiler.is_dynamo_compiling() or _dynamo_is_exporting()


def _dynamo_is_exporting() -> bool:
    """Ask, while torch._dynamo traces, for whom; if it cannot tell, for export, whose form every engine can read."""
    from torch._dynamo import symbolic_convert

    try:
        return bool(symbolic_convert.InstructionTranslator.current_tx().export)
    except AttributeError:
        return True


# Called by torch._dynamo, not traced: its answer becomes a constant of the graph.
_dynamo_is_exporting._dynamo_marked_constant = True  # type: ignore[attr-defined]
_is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", _is_exporting_before_2_7)


def is_autocast_enabled(device_type: str) -> bool:
    # Asked of a device that has no autocast, such as meta, torch raises.
    try:
        return torch.is_autocast_enabled(device_type)
    except RuntimeError:
        return False


def is_jit_tracing() -> bool:
    asked: Any = torch.jit.is_tracing  # type: ignore[attr-defined]
    return bool(asked())


def is_transformed() -> bool:
    """Whether something other than plain autograd differentiates what runs now: a compiler, torch.func, forward mode.

    If torch cannot tell, the answer is yes: torch then differentiates every single operation itself.
    """
    if torch.compiler.is_compiling() or is_jit_tracing():
        return True
    functorch = getattr(torch._C, "_are_functorch_transforms_active", None)
    return functorch is None or functorch() or is_forward_mode()


def is_forward_mode() -> bool:
    """Whether derivatives are computed in forward mode, along with the values."""
    return bool(getattr(forward_ad, "_current_level", 0) >= 0)


def is_inference(x: Tensor) -> bool:
    """Say whether autograd cannot keep x, because it was made in inference mode."""
    return not torch.compiler.is_compiling() and x.is_inference()


def has_values(x: Tensor) -> bool:
    """Whether the values of x can be read: not while a graph is traced or captured, and not without storage."""
    if is_transformed() or x.is_meta or type(x) is not Tensor:
        return False
    return not (x.is_cuda and torch.cuda.is_current_stream_capturing())


def sigmoid_gradient(d_out: Tensor, out: Tensor) -> Tensor:
    """Return the gradient of a sigmoid's input from its output, in one operation."""
    operator: Any = getattr(torch.ops.aten, "sigmoid_backward", None)
    return d_out * out * (1 - out) if operator is None else operator(d_out, out)


def convolution_gradients(x: Tensor, weight: Tensor, d_out: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of input and weight of a zero-padded conv2d without bias, in one operation."""
    padding = weight.shape[2] // 2
    operator: Any = getattr(torch.ops.aten, "convolution_backward", None)
    if operator is None:
        return (
            conv2d_input(x.shape, weight, d_out, padding=padding),
            conv2d_weight(x, weight.shape, d_out, padding=padding),
        )
    one, zero = [1, 1], [0, 0]
    d_x, d_weight, _ = operator(
        d_out, x, weight, None, one, [padding, padding], one, False, zero, 1, [True, True, False]
    )
    return d_x, d_weight


def at_end_of_backward(callback: Callable[[], None]) -> None:
    """Call back when the current backward pass has ended."""
    engine: Any = getattr(Variable, "_execution_engine", None)
    if engine is not None:
        engine.queue_callback(callback)


def uncompiled() -> AbstractContextManager[Any]:
    """Run compiled modules as plain ones, so that the hooks of their submodules are called."""
    return torch.compiler.set_stance("force_eager") if _compiler_is_loaded() else nullcontext()


def forget_compiled() -> None:
    """Have everything compiled again at its next call: compiled code does not look for new hooks and children."""
    if _compiler_is_loaded():
        torch.compiler.reset()


def _compiler_is_loaded() -> bool:
    # Importing it takes longer than the rest of this package; where it is not imported, nothing is compiled.
    return "torch._dynamo" in sys.modules
