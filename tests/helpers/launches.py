"""Kernel launches, counted without a GPU by the counter of the benchmark."""

from dfer.benchmarking.launches import launches

__all__ = ["launches"]
