"""Running an exported model. Needs NumPy and ai-edge-litert only."""
