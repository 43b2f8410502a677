"""What an export reads off a Keras model: its parts, its recurrences, the ranges of its signals."""
