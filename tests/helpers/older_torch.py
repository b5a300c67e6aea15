"""What the oldest supported torch lacks."""

import torch

# Whether torch shows the hooks on saved tensors that are active around a call; torch 2.6 does not.
SHOWS_HOOKS = hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks")
