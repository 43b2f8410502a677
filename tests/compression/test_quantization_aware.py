"""Quantization-aware training from the float model to the file."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import compression

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 12, 3)).astype("float32")
Y = RNG.integers(0, 2, 64)
KINDS = [("int8", 8), ("int16x8", 8), ("int8", 4)]


def model(kind=kv.Model, timesteps=12, **options):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((timesteps, 3), name="x")
    h = kv.VanillaRNN(8, return_sequences=True, name="a", **options)(inputs)
    h = kv.VanillaRNN(5, name="b")(h)
    return kind(inputs, keras.layers.Dense(2, activation="softmax", name="d")(h))


def aware(source=None, quantization="int8", bits=8, data=X):
    source = model() if source is None else source
    return compression.quantize_aware(source, quantization, weight_bits=bits, calibration_data=data)


def fit(made, x=X, y=Y, epochs=1, jit_compile=False, **options):
    own = {"global_clipnorm": 1.0} if isinstance(made, kv.Model) else {}
    loss = "sparse_categorical_crossentropy"
    made.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=jit_compile, **own, **options)
    return made.fit(x, y, epochs=epochs, batch_size=16, verbose=0).history


def predictions(made, x=X):
    return np.array(made(x))


def kernels(made):
    return [np.array(w) for w in made.weights if w.name in ("kernel", "recurrent_kernel")]


@pytest.mark.parametrize(("quantization", "bits"), KINDS)
def test_the_file_computes_what_the_model_computes_after_training(quantization, bits, tmp_path):
    source = model()
    before = source.get_weights()
    made = aware(source, quantization, bits)
    assert type(made) is type(source)
    history = fit(made, jit_compile="auto" if (quantization, bits) == KINDS[0] else False)
    assert np.isfinite(history["loss"]).all()
    assert history["grad_norm"][0] > 0
    for ours, theirs in zip(source.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)  # the float model stays as it is
    expected = made.predict_on_batch(X)
    for form in ("sequence", "unrolled", "streaming") if bits == 8 else ("sequence",):
        path = tmp_path / f"{form}.tflite"
        kv.tflite.export(made, path, form=form)
        simulated = kv.tflite.simulate(path, X).reshape(len(X), -1, 2)[:, -1]
        np.testing.assert_array_equal(simulated, expected)


def test_stock_keras_trains_it():
    made = aware(model(keras.Model), "int16x8")
    assert not isinstance(made, kv.Model)
    losses = fit(made, epochs=3)["loss"]
    assert losses[-1] < losses[0]


def test_truncated_training_in_several_steps_per_execution_moves_ranges_too():
    inputs = keras.Input((None, 3), name="x")
    h = kv.VanillaRNN(6, return_sequences=True, name="a")(inputs)
    source = kv.Model(inputs, keras.layers.Dense(2, activation="softmax")(h))
    made = aware(source)
    before = np.array(made.get_layer("a").signals._variable)
    fit(made, y=np.repeat(Y[:, None], 12, axis=1), truncate_steps=4, steps_per_execution=2)
    assert np.any(np.array(made.get_layer("a").signals._variable) != before)


def test_stateful_layers():
    inputs = keras.Input(batch_shape=(16, 12, 3))
    h = kv.VanillaRNN(4, stateful=True, return_sequences=True)(inputs)
    source = kv.Model(inputs, keras.layers.Dense(2, activation="softmax")(h))
    made = aware(source)
    with pytest.raises(ValueError, match="must hold a multiple of 16 samples, the batch size of the model"):
        aware(source, data=X[:10])
    first, second = predictions(made, X[:16]), predictions(made, X[:16])
    assert np.any(first != second)


def test_saved_and_cloned_models_compute_the_same_integers(tmp_path):
    made = aware()
    made.get_layer("a").signals.observed_steps.assign(3)
    expected = predictions(made)
    made.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(predictions(keras.saving.load_model(tmp_path / "m.keras")), expected)
    clone = keras.models.clone_model(made)
    clone.set_weights(made.get_weights())
    np.testing.assert_array_equal(predictions(clone), expected)
    made.save_weights(tmp_path / "m.weights.h5")
    other = keras.models.clone_model(made)
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(predictions(other), expected)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path):
    class Interruption(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def train(folder, *callbacks):
        made = aware()
        made.compile("adam", "sparse_categorical_crossentropy")
        backup = keras.callbacks.BackupAndRestore(tmp_path / folder)
        made.fit(X, Y, epochs=2, batch_size=16, shuffle=False, verbose=0, callbacks=[backup, *callbacks])
        return made

    with pytest.raises(KeyboardInterrupt):
        train("a", Interruption())
    resumed, straight = train("a"), train("b")
    for ours, theirs in zip(resumed.get_weights(), straight.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_pruned_weights_stay_zero_to_the_file(tmp_path):
    source = compression.prune(model(), compression.ConstantSparsity(0.8, 0, frequency=1))
    fit(source)
    zeros = [w == 0 for w in kernels(source)[:4]]
    assert all(np.mean(z) > 0.75 for z in zeros)
    made = aware(source)
    fit(made)
    for kernel, zero in zip(kernels(made), zeros, strict=False):
        assert np.all(kernel[zero] == 0)
        assert np.any(kernel[~zero] != 0)
    made.save(tmp_path / "m.keras")
    kv.tflite.export(keras.saving.load_model(tmp_path / "m.keras"), tmp_path / "m.tflite")
    simulated = kv.tflite.simulate(tmp_path / "m.tflite", X)
    np.testing.assert_array_equal(simulated, predictions(made))


def test_a_quantization_aware_model_can_be_pruned(tmp_path):
    made = compression.prune(aware(), compression.ConstantSparsity(0.8, 0, frequency=1))
    fit(made)
    assert all(np.mean(k == 0) > 0.75 for k in kernels(made)[:4])
    kv.tflite.export(compression.strip_pruning(made), tmp_path / "m.tflite")


@pytest.mark.parametrize("quantization", ["int8", pytest.param("int16x8", marks=pytest.mark.slow)])
def test_badly_conditioned_models(quantization, tmp_path):
    """One unit with 50 times larger weights, inputs to ±100, and states that grow."""
    source = model(timesteps=30, activation="relu", recurrent_initializer="identity")
    kernel = source.get_layer("a").cell.kernel
    kernel.assign(np.array(kernel) * np.where(np.arange(8) == 0, 50, 1))
    x = np.random.default_rng(1).uniform(-100, 100, (64, 30, 3)).astype("float32")
    made = aware(source, quantization, data=x)
    assert np.isfinite(fit(made, x)["loss"]).all()
    kv.tflite.export(made, tmp_path / "m.tflite")
    simulated = kv.tflite.simulate(tmp_path / "m.tflite", x)
    np.testing.assert_array_equal(simulated, predictions(made, x))


def test_only_its_own_quantization_is_exported(tmp_path):
    with pytest.raises(ValueError, match=r"`quantization` must be 'int8' for this model"):
        kv.tflite.export(aware(), tmp_path / "m.tflite", quantization="int16x8")
    assert not list(tmp_path.iterdir())


def test_another_layer_between_is_refused():
    made = aware()
    h = made.get_layer("a")(made.get_layer("x_integers")(X))
    with pytest.raises(ValueError, match="its input carries no number format"):
        made.get_layer("b")(keras.layers.Dense(8)(h))


REFUSED = {
    "no data": (
        lambda: compression.quantize_aware(model()),
        r"`calibration_data` must be inputs .* x_train\[:200\]",
    ),
    "a format": (lambda: aware(quantization="float16"), r"`quantization` must be one of 'int8', 'int16x8'"),
    "bits": (lambda: aware(bits=True), r"`weight_bits` must be 8 or 4"),
    "no kernel": (
        lambda: aware(None, "int16x8", 4),
        "TFLite Micro has no kernel for int16 signals with 4-bit",
    ),
    "twice": (lambda: aware(aware()), "quantization-aware already"),
    "mixed precision": (
        lambda: aware(model(dtype="mixed_float16")),
        'VanillaRNN "a", which computes in float16',
    ),
    "an encoder-decoder": (
        lambda: aware(kv.EncoderDecoder(9, 9, units=4)),
        "EncoderDecoder .* whose decoder reads its own outputs",
    ),
    "an activation": (lambda: aware(model(activation="silu")), "layer 'a': its activation 'silu'"),
    "an activation of int16": (lambda: aware(model(activation="elu"), "int16x8"), "its activation 'elu'"),
    "a shape": (lambda: aware(data=X[..., :2]), r"`calibration_data` must have the shape \(samples, 12, 3\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_subclass_with_python_code_is_refused():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.rnn = kv.VanillaRNN(3)

        def call(self, x):
            return self.rnn(x)

    own = Own()
    own(X)
    with pytest.raises(ValueError, match="whose `call` is Python code"):
        aware(own)


def test_states_that_are_not_finite_are_refused():
    source = model(timesteps=200, activation="relu")
    source.get_layer("a").cell.recurrent_kernel.assign(5 * np.eye(8))
    with pytest.raises(ValueError, match=r"its signal '.' is NaN or infinite on `calibration_data`"):
        aware(source, data=np.ones((4, 200, 3)))


def test_models_without_a_recurrence_are_refused_before_training():
    inputs = keras.Input((12, 3))
    with pytest.raises(ValueError, match="must contain a VanillaRNN, FastRNN, SimpleRNN, GRU or LSTM layer"):
        aware(kv.Model(inputs, keras.layers.Dense(2)(inputs)))
