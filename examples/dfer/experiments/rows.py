"""The rows of the ablation: the paper's Table 2, AGA with the mean over time, and a plain net as large as AGA's."""

from collections.abc import Mapping

from dfer.models.registry import AGDTNET_ROWS
from dfer.models.wide_resnet18 import WIDER

REFERENCE = "agdtnet"

# Attention after the second and third stage, and what stands over time.
ROWS: Mapping[str, tuple[str, str]] = {**AGDTNET_ROWS, "aga+mean": ("aga", "mean"), WIDER: ("none", "dtformer")}
