"""From a Keras model to a `.tflite` file. Needs the TensorFlow backend."""
