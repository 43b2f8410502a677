"""Number formats and rounding of an integer file. Needs NumPy only."""
