"""Runs exported models. Needs NumPy and ai-edge-litert only."""
