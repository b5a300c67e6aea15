"""Load weights from files and state dicts: safe to read, all or none, with a report."""

from agdt_layers.weights.loading import WeightsReport, load_weights

__all__ = ["WeightsReport", "load_weights"]
