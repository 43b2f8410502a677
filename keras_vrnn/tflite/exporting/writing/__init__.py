"""Writes the parts of a model as the bytes of a `.tflite` file: operators, loops, signatures, metadata."""
