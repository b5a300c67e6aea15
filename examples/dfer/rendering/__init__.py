"""Rendered faces: identity, motion and painting."""
