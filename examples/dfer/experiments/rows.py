"""The rows of the ablation: the paper's Table 2 and two more; and on series of vectors, the encoders over time."""

from collections.abc import Mapping

from dfer.models.registry import AGDTNET_ROWS
from dfer.models.vector_nets import VECTOR_MODELS
from dfer.models.wide_resnet18 import WIDER

REFERENCE = "agdtnet"
SERIES_ROWS, SERIES_REFERENCE = VECTOR_MODELS, "vectors+dtformer"

# Attention after the second and third stage, and what stands over time.
ROWS: Mapping[str, tuple[str, str]] = {**AGDTNET_ROWS, "aga+mean": ("aga", "mean"), WIDER: ("none", "dtformer")}
