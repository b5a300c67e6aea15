"""The benchmark: what is measured, how, and the report."""
