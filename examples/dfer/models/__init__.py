"""The models that the scripts train: AGDTNet, its ablations, and the systems that it is compared with."""

from dfer.models.registry import AGDTNET_ROWS, COMPARISON_SYSTEMS, MODEL_NAMES, build_model

__all__ = ["AGDTNET_ROWS", "COMPARISON_SYSTEMS", "MODEL_NAMES", "build_model"]
