"""The installed wheel imports and runs with torch and einops alone."""

import sys

import torch

if not hasattr(torch.compiler, "is_exporting"):
    # With a torch before 2.7 einops imports the compiler, and so what torch itself depends on.
    import torch._dynamo
before = set(sys.modules)

import agdt_layers  # noqa: E402

foreign = {name.split(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
if not foreign <= {"agdt_layers", "einops", "torch"}:
    sys.exit(f"import agdt_layers brings in {', '.join(sorted(foreign))}; expected torch and einops alone")
net = agdt_layers.build_agdtnet(num_frames=4).eval()
scores = net(torch.zeros(1, 4, 3, 64, 64))
if scores.shape != (1, 7):
    sys.exit(f"AGDTNet of the wheel gave {tuple(scores.shape)}; expected (1, 7)")
print(f"agdt-layers {agdt_layers.__version__} imports and runs with torch {torch.__version__} and einops alone")
