"""Weights from files and state dicts into models: safe to read, loaded completely or not at all, with a report."""

from agdt_layers.weights.loading import WeightsReport, load_weights

__all__ = ["WeightsReport", "load_weights"]
