"""The number formats of an integer file and how its weights are rounded. Needs NumPy only."""
