"""Compares an exported model with its Keras original. Needs the TensorFlow backend."""
