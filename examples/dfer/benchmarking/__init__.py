"""The benchmark: cases, timing, tables and plots."""
