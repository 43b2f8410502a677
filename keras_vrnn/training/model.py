"""keras.Model and keras.Sequential with our train_step."""

import keras


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Model(keras.Model):
    pass


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Sequential(keras.Sequential):
    pass
