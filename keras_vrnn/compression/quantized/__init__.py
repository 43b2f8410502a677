"""The layers of a quantization-aware model: in training they compute the integers of the exported file."""
