"""Writes integer files as C99 sources that need no interpreter; NumPy and LiteRT's schema only."""
