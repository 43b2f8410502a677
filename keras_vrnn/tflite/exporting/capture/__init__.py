"""Reads a Keras model for the export: its parts, its recurrences, the ranges of its signals."""
