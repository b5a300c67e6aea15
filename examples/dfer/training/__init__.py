"""Training: what is optimised, how, and what a run keeps."""
