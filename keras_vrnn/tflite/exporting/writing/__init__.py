"""From the parts of a model to the bytes of a `.tflite` file: integer rules, operators, loops, metadata."""
