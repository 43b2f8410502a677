"""Plain forms of Keras layers, which the stock converter can write with integers and TFLite Micro can run.

Each computes what Keras' own `call` computes at inference.

Needs the TensorFlow backend.
"""

import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.layers.interception import layers_of, replaced


@contextlib.contextmanager
def plain_layers(model, quantization, number):
    """Replaces the `call` of a model's layers by their plain forms while the block runs.

    Args:
        model: The Keras model.
        quantization: A key of `SCHEMES`.
        number: A function that returns a mask (B, T) as 1.0 and 0.0.
    """
    forms = _FORMS | (_INT8_FORMS if quantization == "int8" else {})
    mean = _mean_int16 if quantization == "int16x8" else _mean
    forms[keras.layers.Masking] = functools.partial(_masking, number)
    forms[keras.layers.GlobalAveragePooling1D] = functools.partial(_global_average_pooling, number, mean)
    with contextlib.ExitStack() as stack:
        for kind, plain in forms.items():
            # Not subclasses, which may have another `call`.
            for layer in layers_of(model):
                if type(layer) is kind:
                    stack.enter_context(replaced(layer, "call", plain(layer, layer.call)))
        yield


@contextlib.contextmanager
def no_dropout(layers):
    """Sets the dropout of recurrent layers to zero while the block runs.

    Keras draws the masks of a cell's dropout at inference too, where nothing reads them: the converter fails at the
    variable of the random generator.
    """
    with contextlib.ExitStack() as stack:
        for layer in layers:
            for name in ("dropout", "recurrent_dropout"):
                stack.enter_context(replaced(layer.cell, name, 0.0))
        yield


@contextlib.contextmanager
def trained_layers(trained):
    """Replaces the `call` of quantization-aware layers by the float operators that the file quantizes.

    Args:
        trained: The `Trained` of a quantization-aware model, or None for another model.
    """
    with contextlib.ExitStack() as stack:
        for layer, call in (trained.plain_calls() if trained is not None else {}).items():
            stack.enter_context(replaced(layer, "call", call))
        yield


def _embedding(layer, original):
    """One GATHER.

    Keras counts a negative token from the end of the table, which takes three more operators, one of which TFLite Micro
    lacks. No vocabulary has negative tokens.
    """

    def call(inputs):
        table = tf.convert_to_tensor(layer.embeddings)
        return tf.cast(tf.gather(table, tf.cast(inputs, tf.int32)), layer.compute_dtype)

    return call


def _category_encoding(layer, original):
    """One GATHER from the unit matrix. Keras converts token ids to floats, which int8 would round."""

    def call(inputs, count_weights=None):
        while inputs.op.type in ("Cast", "Identity"):  # Keras converts them to floats before the call
            inputs = inputs.op.inputs[0]
        if len(inputs.shape) < 2:
            return original(inputs, count_weights)
        tokens = tf.cast(inputs, tf.int32)
        if layer.output_mode == "one_hot" and tokens.shape[-1] == 1:
            tokens = tf.squeeze(tokens, -1)
        encoded = tf.gather(tf.eye(layer.num_tokens, dtype=layer.compute_dtype), tokens)
        if layer.output_mode == "one_hot":
            return encoded
        if layer.output_mode == "multi_hot":
            return tf.reduce_max(encoded, 1)
        if count_weights is not None:
            encoded = encoded * tf.cast(count_weights, encoded.dtype)[..., None]
        return tf.reduce_sum(encoded, 1)  # as Keras does for any rank

    return call


def _masking(number, layer, original):
    """x_t·m_t, where Keras selects. Nothing changes if the masked value is zero."""

    def call(inputs):
        if not np.any(layer.mask_value):
            return tf.identity(inputs)  # a new tensor, to which Keras attaches the mask
        return inputs * number(layer.compute_mask(inputs))[..., None]

    return call


def _layer_normalization(layer, original):
    """(x - mean) / √(variance + ε) · γ + β. Keras' order of these terms has a negation, which int16x8 lacks."""

    def normalize(centred):
        variance = tf.reduce_mean(centred * centred, -1, keepdims=True)
        return centred * tf.math.rsqrt(variance + layer.epsilon)

    return _normalization(layer, original, normalize)


def _layer_normalization_int8(layer, original):
    """The same by one L2_NORMALIZATION over the F features and √(F·ε).

    A small variance has a large relative error when it is an int8 tensor between two operators; inside this operator
    the sum of squares is an int32.
    """

    def normalize(centred):
        features = centred.shape[-1]
        root = tf.constant(np.full((*centred.shape[:-1], 1), np.sqrt(features * layer.epsilon), np.float32))
        unit = tf.nn.l2_normalize(tf.concat([centred, root], -1), -1)
        return unit[..., :features] * np.sqrt(features).astype(np.float32)

    return _normalization(layer, original, normalize)


def _normalization(layer, original, normalize):
    def call(inputs):
        if layer.rms_scaling or np.ravel(layer.axis).tolist() not in ([-1], [len(inputs.shape) - 1]):
            return original(inputs)
        outputs = normalize(inputs - tf.reduce_mean(inputs, -1, keepdims=True))
        if layer.gamma is not None:
            outputs = outputs * tf.convert_to_tensor(layer.gamma)
        return outputs if layer.beta is None else outputs + tf.convert_to_tensor(layer.beta)

    return call


def _global_average_pooling(number, mean, layer, original):
    """Σ x_t·m_t / Σ m_t over the steps t, with the mask m as numbers; 0 if no step counts, where Keras returns NaN."""

    def call(inputs, mask=None):
        if mask is None or layer.data_format != "channels_last":
            return original(inputs, mask)
        counts = number(mask)[..., None]
        return mean(inputs * counts, counts, layer.keepdims)

    return call


def _mean(products, counts, keepdims):
    total, count = (tf.reduce_sum(v, 1, keepdims=keepdims) for v in (products, counts))
    # In int8 the divisor has steps of T/255. It must not round to 0, on which the kernel fails.
    return total / tf.maximum(count, max(1.0, counts.shape[1] / 200))


def _mean_int16(products, counts, keepdims):
    """With means, as the converter gives an int16 sum the range of its terms, and a root, as int16 lacks DIV."""
    total, count = (tf.reduce_mean(v, 1, keepdims=keepdims) for v in (products, counts))
    root = tf.math.rsqrt(tf.maximum(count, 1.0 / counts.shape[1]))
    return total * root * root


def _global_max_pooling(layer, original):
    """One MAX_POOL_2D, because REDUCE_MAX of TFLite Micro lacks int16."""

    def call(inputs):
        if layer.data_format != "channels_last":
            return original(inputs)
        largest = tf.nn.max_pool1d(inputs, inputs.shape[1], 1, "VALID")
        return largest if layer.keepdims else largest[:, 0]

    return call


def _time_distributed(layer, original):
    """All steps at once, where Keras unrolls them."""
    inner = layer.layer
    nested = inner._flatten_layers() if isinstance(inner, keras.layers.Layer) else ()
    if any(isinstance(part, keras.layers.RNN) for part in nested):
        return original

    def call(inputs, training=None, mask=None):
        batch, timesteps, *features = inputs.shape
        outputs = inner(tf.reshape(inputs, (batch * timesteps, *features)), training=False)
        return tf.reshape(outputs, (batch, timesteps, *outputs.shape[1:]))

    return call


_FORMS = {
    keras.layers.CategoryEncoding: _category_encoding,
    keras.layers.Embedding: _embedding,
    keras.layers.GlobalMaxPooling1D: _global_max_pooling,
    keras.layers.LayerNormalization: _layer_normalization,
    keras.layers.TimeDistributed: _time_distributed,
}
_INT8_FORMS = {keras.layers.LayerNormalization: _layer_normalization_int8}
