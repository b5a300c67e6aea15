"""Clips: where they come from, which frames are taken, how they are augmented."""
