"""Questions about torch's own state: precision, tracing, autograd. The only file that uses undocumented names.

If a version of torch lacks such a name, the fallback is slower and safe, or the call raises AttributeError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Variable, forward_ad

NO_BACKWARD = -1


def promoted_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return float64 for float64, and float32 for narrower dtypes."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def promoted(x: Tensor) -> Tensor:
    """Return x in float32, or unchanged if it is float64."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Disable autocast on x's device, which would round weights to half precision between two products."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if is_autocast_enabled(device) else nullcontext()


def call_in_own_dtype(module: nn.Module, x: Tensor) -> Tensor:
    """Call a module in the dtype of its own parameters, and return the result in the dtype of x."""
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return module(x.to(parameter.dtype)).to(x.dtype)
    return module(x)


def is_autocast_enabled(device_type: str) -> bool:
    # Raises for a device without autocast, such as meta.
    try:
        return torch.is_autocast_enabled(device_type)
    except RuntimeError:
        return False


def is_jit_tracing() -> bool:
    is_tracing: Any = torch.jit.is_tracing  # type: ignore[attr-defined]
    return bool(is_tracing())


def is_transformed() -> bool:
    """Return whether a compiler, torch.func or forward mode differentiates the current call, instead of autograd.

    If torch cannot tell, return True, which leaves the derivative of every operation to torch.
    """
    if torch.compiler.is_compiling() or is_jit_tracing():
        return True
    functorch = getattr(torch._C, "_are_functorch_transforms_active", None)
    return functorch is None or functorch() or is_forward_mode()


def is_forward_mode() -> bool:
    """Return whether forward-mode derivatives are being computed."""
    return bool(getattr(forward_ad, "_current_level", 0) >= 0)


def is_inference(x: Tensor) -> bool:
    """Return whether x was created in inference mode, so that autograd cannot save it."""
    return not torch.compiler.is_compiling() and x.is_inference()


def has_values(x: Tensor) -> bool:
    """Return whether the values of x can be read, which excludes tracing, graph capture and tensors without storage."""
    if is_transformed() or x.is_meta or type(x) is not Tensor:
        return False
    return not (x.is_cuda and torch.cuda.is_current_stream_capturing())


def saved_tensors_hooks() -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]] | None:
    """Return the active pack and unpack hooks, such as those of ``save_on_cpu``."""
    top: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    if top is not None:
        hooks: Any = top(False)
        return hooks
    # Older versions do not expose them, but refuse new hooks on a tensor that was saved with other hooks.
    probe: Any = torch.ones((), requires_grad=True).exp().grad_fn
    try:
        probe._raw_saved_result.register_hooks(lambda x: x, lambda x: x)
    except RuntimeError:
        raise RuntimeError(
            f"torch {torch.__version__} cannot run clips inside other saved-tensor hooks, such as those of "
            "torch.utils.checkpoint or save_on_cpu. Apply these to submodules instead, or use a newer torch."
        ) from None
    return None


def sequence_number() -> int:
    """Return the number of the next autograd node. Each thread counts its own nodes."""
    return int(torch._C._autograd._get_sequence_nr())


def current_backward() -> tuple[int, int]:
    """Return the id of this thread's running backward pass, and the number of the node that it evaluates."""
    task = torch._C._current_graph_task_id()
    if task == NO_BACKWARD:
        return task, 0
    node: Any = torch._C._current_autograd_node()
    return task, int(node._sequence_nr())


def at_end_of_backward(callback: Callable[[], None]) -> None:
    """Call ``callback`` when the current backward pass has ended."""
    engine: Any = Variable._execution_engine
    engine.queue_callback(callback)


def uncompiled() -> AbstractContextManager[Any]:
    """Run compiled modules eagerly, so that the hooks of their submodules are called."""
    return torch.compiler.set_stance("force_eager") if _compiler_is_loaded() else nullcontext()


def forget_compiled() -> None:
    """Discard all compiled code, which does not check for new hooks and children."""
    if _compiler_is_loaded():
        torch.compiler.reset()


def _compiler_is_loaded() -> bool:
    # Importing it takes longer than the rest of this package. If it is not imported, nothing is compiled.
    return "torch._dynamo" in sys.modules
