"""Rendered faces: who is seen, how the face moves, how it is painted."""
