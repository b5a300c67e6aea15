"""Evaluation: scores, results, pictures."""
