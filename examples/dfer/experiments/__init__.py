"""Experiments of many runs: ablation over seeds, comparison of attention layers, and the statistics between them."""
