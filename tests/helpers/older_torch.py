"""Features that the oldest supported version of torch lacks."""

import torch

# Whether torch exposes the active saved-tensor hooks; torch 2.6 does not.
SHOWS_HOOKS = hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks")
