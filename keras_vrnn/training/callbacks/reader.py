"""The base class of callbacks that read gradient norms: it connects them to the model's recorder."""

import keras

from keras_vrnn.training.trainer import GradientTraining


class NormReader(keras.callbacks.Callback):
    """Receives the recorded rows of every step; a subclass implements `receive(rows)`."""

    def __init__(self):
        super().__init__()
        self._recorder = None
        self._settings = None

    def set_model(self, model):
        super().set_model(model)
        if not isinstance(model, GradientTraining):
            raise TypeError(
                f"{type(self).__name__} reads norms that only kv.Model and kv.Sequential record. "
                f"Received: {type(model).__module__}.{type(model).__name__}. Make it "
                "kv.Model(model.inputs, model.outputs) and compile that."
            )
        if not model.compiled:
            raise ValueError(
                f"{type(self).__name__} needs a compiled model. Received model {model.name!r}, which is not compiled: "
                "call compile() first."
            )
        if self._recorder is not None:
            self._recorder.detach(self)
        self._recorder = model.gradient_recorder
        self._settings = model.gradient_settings
        self._recorder.attach(self)

    def receive(self, rows):
        """Takes rows of the model's recorder."""
        raise NotImplementedError

    def read(self):
        """Fetches the rows that are still in the recorder."""
        if self._recorder is not None:
            self._recorder.drain()

    def on_train_end(self, logs=None):
        if self._recorder is not None:
            self._recorder.detach(self)
            self._recorder = None
