"""Gated cells: each states its step once, for training, export and calibration; see `arithmetic`. Needs NumPy only."""
