"""Shows what a `.tflite` file holds and how fast it runs. Needs NumPy and ai-edge-litert only."""
