"""Which models may run one time step at a time is decided on data that can tell."""

import keras
import numpy as np
import pytest
from against_keras import exported_errors
from exported_models import random_data, randomize
from keras import layers, ops

import keras_vrnn as kv
from keras_vrnn.models import structure
from keras_vrnn.tflite.exporting.capture.streaming import in_chunks

T, F = 11, 4
ZEROS = np.zeros((5, T, F), "float32")
ONE_STEP = random_data(5, 1, F)


def sequential(*parts, timesteps=T):
    return randomize(keras.Sequential([keras.Input((timesteps, F), name="x"), *[part() for part in parts]]))


def rnn(**options):
    return lambda: kv.VanillaRNN(3, **options)


def every():
    return kv.VanillaRNN(3, return_sequences=True)


def tiny():
    """Outputs far below any absolute tolerance."""
    return layers.Rescaling(1e-6)


def tokens(*parts, timesteps=T):
    inputs = keras.Input((timesteps,), dtype="int32", name="x")
    return randomize(keras.Sequential([inputs, layers.Embedding(9, F), *[part() for part in parts], rnn()()]))


def conv(**options):
    return lambda: layers.Conv1D(3, 3, **options)


LOOK_AROUND = {
    "Bidirectional": [lambda: layers.Bidirectional(every())],
    "backwards": [rnn(go_backwards=True, return_sequences=True)],
    "backwards, dead": [lambda: layers.Rescaling(0.0), rnn(go_backwards=True, return_sequences=True)],
    "convolution": [conv(padding="same")],
    "causal convolution": [conv(padding="causal")],
    "pooling": [lambda: layers.MaxPooling1D(2, strides=1, padding="same")],
    "reversal": [lambda: layers.Lambda(lambda x: x[:, ::-1])],
    "difference": [lambda: layers.Lambda(lambda x: x - ops.roll(x, 1, axis=1))],
    "mean": [lambda: layers.Lambda(lambda x: x - ops.mean(x, axis=1, keepdims=True))],
    "attention": [lambda: layers.Lambda(lambda x: ops.softmax(x, axis=1))],
}
DATA = {
    "data of one step": (None, ONE_STEP),
    "zeros": (T, ZEROS),
    "one sample": (T, random_data(1, T, F)),
    "tiny data": (T, 1e-6 * random_data(5, T, F)),
    "no data": (T, None),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("front", LOOK_AROUND)
def test_models_that_look_around_in_time_are_refused(front, data, tmp_path):
    timesteps, x = DATA[data]
    for parts in ([*LOOK_AROUND[front], rnn()], [*LOOK_AROUND[front], every, tiny]):
        with pytest.raises(
            ValueError, match="It can't be exported with form='streaming'; use form='sequence'"
        ):
            in_chunks(sequential(*parts, timesteps=timesteps), [random_data(5, T, F) if x is None else x])


@pytest.mark.parametrize(
    "parts",
    [
        [every, layers.GlobalAveragePooling1D],
        [every, layers.GlobalMaxPooling1D],
        [every, layers.Flatten],
        [every, lambda: layers.Lambda(lambda x: x[:, 0])],
        [rnn(), lambda: layers.RepeatVector(3), every],
    ],
    ids=["mean", "largest", "Flatten", "first step", "RepeatVector"],
)
@pytest.mark.parametrize("x", [ZEROS, random_data(5, T, F)], ids=["zeros", "data"])
def test_outputs_made_of_all_steps_are_refused(parts, x):
    with pytest.raises(ValueError, match="use form='sequence'"):
        in_chunks(sequential(*parts), [x])


@pytest.mark.parametrize("timesteps", [T, None])
@pytest.mark.parametrize(
    "x", [np.zeros((4, T), "int32"), np.ones((4, 1), "int32")], ids=["zeros", "one step"]
)
def test_constant_tokens_can_tell_too(timesteps, x):
    x = x if timesteps is None else np.repeat(x[:, :1], T, axis=1)
    with pytest.raises(ValueError, match="use form='sequence'"):
        in_chunks(tokens(conv(padding="same"), timesteps=timesteps), [x])
    in_chunks(tokens(layers.LayerNormalization, timesteps=timesteps), [x])


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(
    "parts",
    [
        [rnn()],
        [every],
        [every, tiny],
        [lambda: layers.Dense(5, "relu"), every, layers.LayerNormalization, rnn(activation="relu")],
        [lambda: layers.Conv1D(3, 1), every, layers.Softmax],
        [every, lambda: layers.Dense(1), lambda: layers.Lambda(lambda x: x[..., 0])],
        [rnn(), lambda: layers.Lambda(lambda x: ops.sum(x, axis=-1))],
        [rnn(), lambda: layers.Reshape((3, 1))],
    ],
)
def test_models_of_single_steps_are_taken(parts, data):
    timesteps, x = DATA[data]
    in_chunks(sequential(*parts, timesteps=timesteps), [random_data(5, T, F) if x is None else x])


def test_one_step_is_all_there_is():
    """With a time axis of one step a convolution sees nothing but that step."""
    in_chunks(sequential(conv(padding="same"), rnn(), timesteps=1), [ONE_STEP])
    with pytest.raises(ValueError, match="which goes backwards in time"):
        in_chunks(sequential(rnn(go_backwards=True), timesteps=1), [ONE_STEP])


def test_inputs_need_a_common_time_axis():
    a, b = keras.Input((T, F)), keras.Input((3,))
    model = keras.Model([a, b], rnn()()(a, initial_state=b))
    with pytest.raises(ValueError, match="inputs without a common time axis"):
        in_chunks(model, [random_data(2, T, F), random_data(2, 3)])


@pytest.mark.parametrize("layer", [kv.VanillaRNN, layers.SimpleRNN])
def test_masked_steps_keep_the_state(layer):
    """Keras' own loop gives zero for a first step that is masked; a stream has no first steps but one."""
    inputs = keras.Input((T,), dtype="int32")
    x = layers.Embedding(9, F, mask_zero=True)(inputs)
    model = randomize(keras.Model(inputs, layer(3, return_sequences=True)(x)))
    in_chunks(model, [np.random.default_rng(0).integers(0, 3, (5, T)).astype("int32")])


def nested(shared):
    block = keras.Sequential([keras.Input((T, F)), layers.Dense(F, "relu"), every()])
    inputs = keras.Input((T, F), name="x")
    made = layers.Add()([block(inputs), block(2 * inputs)]) if shared else block(inputs)
    return randomize(keras.Model(inputs, layers.Dense(2)(kv.VanillaRNN(4)(made))))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_nested_models_of_a_fixed_length_stream(shared, quantization, tmp_path):
    bar = 1e-5 if quantization == "float32" else 0.05  # rounding; int8 through three recurrences
    x = random_data(12, T, F)
    errors = exported_errors(nested(shared), x, tmp_path / "m", quantization, form="streaming")
    assert max(errors) <= bar


def test_the_model_of_one_step_shares_the_weights():
    model = nested(shared=True)
    step = in_chunks(model, [random_data(3, T, F)])
    assert step.inputs[0].shape == (None, 1, F)
    assert {id(v) for v in step.weights} == {id(v) for v in model.weights}
    assert structure.input_names(step) == ["x"]
