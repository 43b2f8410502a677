"""Exports Keras models as `.tflite` files. Needs the TensorFlow backend."""
