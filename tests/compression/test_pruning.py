"""Pruned weights are exactly zero after every update, whatever the optimizer does, and only those of the mask."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.compression.pruning import masks_of, sparsities

RNG = np.random.default_rng(3)
X = RNG.normal(size=(48, 5, 3)).astype("float32")
Y = RNG.normal(size=(48, 2)).astype("float32")


def small_model(model_class=kv.Sequential, layer=kv.VanillaRNN):
    return model_class([keras.Input((5, 3)), layer(6, name="rnn"), kl.Dense(2, name="head")])


def half(step):
    return True, 0.5


def trained(model, optimizer="sgd", epochs=1, callbacks=(), **options):
    options = {"jit_compile": False, **options}  # XLA compiles longer than this trains
    model.compile(optimizer, "mse", **options)
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def zeros_of(model):
    return {w.path: np.array(w) == 0.0 for w in model.weights if "kernel" in w.path}


def assert_still_zero(model, zeros):
    for variable in model.weights:
        if variable.path in zeros:
            assert not np.array(variable)[zeros[variable.path]].any(), variable.path


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "decay": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "average": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=2),
    "average at the end": lambda: keras.optimizers.SGD(0.1, use_ema=True),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("model_class", [kv.Sequential, keras.Sequential])
def test_pruned_weights_are_zero_after_training_with_any_optimizer(name, model_class):
    # In a stock model, only the callback comes after averaged weights are put in.
    callbacks = [compression.PruningCallback()] if model_class is keras.Sequential else []
    pruned = compression.prune(small_model(model_class), half)
    assert type(pruned) is model_class
    trained(pruned, OPTIMIZERS[name](), epochs=2, callbacks=callbacks)
    assert sparsities(pruned) == dict.fromkeys(sparsities(pruned), 0.5)
    assert len(sparsities(pruned)) == 3
    others = [np.array(w) for w in pruned.weights if "kernel" not in w.path]
    assert all(value.all() for value in others)  # nothing else is touched


@pytest.mark.parametrize("options", [{"steps_per_execution": 3, "jit_compile": True}, {"run_eagerly": True}])
def test_masks_follow_the_schedule_step_by_step_within_an_execution(options):
    """6 updates: 4 of the 36 recurrent weights go after update 2 (step 1), 18 after update 5 (step 4)."""

    def schedule(step):
        if step == 1:
            return True, 0.1
        return step == 4, 0.5

    pruned = compression.prune(small_model(), schedule)
    trained(pruned, **options)
    assert sparsities(pruned)["rnn/vanilla_rnn_cell/recurrent_kernel"] == 0.5
    assert {int(mask.step) for mask in masks_of(pruned).values()} == {6}


def test_the_smallest_weights_go_as_many_as_the_sparsity_says_also_among_equals():
    model = small_model()
    pruned = compression.prune(model, half, layers=["rnn"], weights=["recurrent_kernel"])
    recurrent = next(w for w in pruned.weights if w.path.endswith("recurrent_kernel"))
    for value in (RNG.normal(size=(6, 6)), np.ones((6, 6)), np.eye(6)):
        mask = masks_of(compression.prune(model, half))["rnn/vanilla_rnn_cell/recurrent_kernel"]
        result = np.array(mask(keras.ops.convert_to_tensor(value.astype("float32"))))
        kept = np.array(mask.pruning_mask)
        assert np.sum(~kept) == 18
        assert np.abs(value)[~kept].max() <= np.abs(value)[kept].min()
        np.testing.assert_array_equal(result, np.where(kept, value.astype("float32"), 0))
    assert recurrent.constraint is not None
    assert list(masks_of(pruned)) == ["rnn/vanilla_rnn_cell/recurrent_kernel"]


def test_a_pruned_weight_stays_pruned_when_the_schedule_asks_for_less():
    def falling(step):
        return True, 0.5 - 0.1 * float(step) if isinstance(step, int) else 0.5 / (1.0 + step_of(step))

    def step_of(step):
        import tensorflow as tf

        return tf.cast(step, tf.float32)

    pruned = compression.prune(small_model(), falling)
    trained(pruned)
    assert set(sparsities(pruned).values()) == {0.5}


def test_weights_that_start_at_zero_are_not_taken_for_pruned():
    layer = kv.VanillaRNN(6, recurrent_initializer="identity", name="rnn")
    model = kv.Sequential([keras.Input((5, 3)), layer, kl.Dense(2, name="head")])
    pruned = trained(compression.prune(model, lambda step: (step > 100, 0.5)))
    assert set(sparsities(pruned).values()) == {0.0}


def test_gated_layers_wrappers_nested_models_and_shared_layers():
    inputs = keras.Input((5, 3))
    inner = keras.Sequential([keras.Input((5, 8)), kl.LSTM(4, return_sequences=True)])
    twice = kl.TimeDistributed(kl.Dense(8))
    h = kl.Bidirectional(kl.GRU(4, return_sequences=True))(inputs)
    h = kl.Conv1D(8, 2, padding="same")(twice(twice(h)))
    model = kv.Model(inputs, kl.Dense(2)(kl.Flatten()(inner(h))))
    pruned = trained(compression.prune(model, compression.ConstantSparsity(0.75, 0, frequency=1)))
    names = [path.split("/", 1)[1] if "/" in path else path for path in sparsities(pruned)]
    assert (
        len(names) == 9
    )  # two in each direction and in the LSTM, one each in TimeDistributed, Conv1D and Dense
    assert set(sparsities(pruned).values()) == {0.75}


def test_another_constraint_is_kept_and_comes_first():
    layer = kv.VanillaRNN(6, kernel_constraint=keras.constraints.MaxNorm(0.5), name="rnn")
    model = kv.Sequential([keras.Input((5, 3)), layer, kl.Dense(2)])
    pruned = trained(compression.prune(model, half), keras.optimizers.SGD(0.5))
    kernel = np.array(next(w for w in pruned.weights if w.path.endswith("rnn_cell/kernel")))
    assert np.mean(kernel == 0) == 0.5
    assert np.linalg.norm(kernel, axis=0).max() <= 0.5 * (1 + 1e-6)  # float32 rounding
    stripped = compression.strip_pruning(pruned)
    assert isinstance(stripped.get_layer("rnn").kernel_constraint, keras.constraints.MaxNorm)


def test_gradients_of_pruned_weights_count_for_no_norm():
    """Clipping by a norm measures what moves the weights."""
    model = kv.Sequential([keras.Input((4,)), kl.Dense(1, use_bias=False, kernel_initializer="ones")])
    pruned = compression.prune(model, half)
    pruned.compile(keras.optimizers.SGD(1.0), lambda y, p: keras.ops.mean(p), global_clipnorm=1.0)
    norms = kv.callbacks.GradientNorms()
    x = np.ones((2, 4), "float32")
    pruned.fit(x, x[:, :1], batch_size=1, verbose=0, callbacks=[norms], shuffle=False)
    # Four entries of 1, then the two that are left.
    np.testing.assert_allclose(norms.norms, [2.0, np.sqrt(2.0)], rtol=1e-6)


def test_logs_have_the_sparsity_of_each_matrix():
    pruned = compression.prune(small_model(), compression.PolynomialDecay(0.0, 0.5, 0, 9, frequency=3))
    pruned.compile("sgd", "mse")
    history = pruned.fit(X, Y, 8, epochs=2, verbose=0, callbacks=[compression.PruningCallback()]).history
    paths = list(sparsities(pruned))
    assert {f"sparsity/{path}" for path in paths} == {
        name for name in history if name.startswith("sparsity/")
    }
    # Prunings at steps 0 and 3 in the first epoch, 6 and 9 in the second: 0.5·(1 - (1 - step/9)³).
    shares = [history[f"sparsity/{path}"] for path in paths]
    sizes = np.array([np.prod(masks_of(pruned)[path].pruning_mask.shape) for path in paths])
    expected = [np.round(0.5 * (1 - (1 - step / 9) ** 3) * sizes) / sizes for step in (3, 9)]
    np.testing.assert_allclose(np.transpose(shares)[0], expected[0])
    np.testing.assert_allclose(history["sparsity"], np.transpose(shares) @ sizes / sizes.sum())


def test_pruning_again_goes_on_from_the_masks():
    pruned = trained(compression.prune(small_model(), half))
    zeros = zeros_of(pruned)
    again = compression.prune(pruned, lambda step: (step == 2, 0.75))
    assert {int(mask.step) for mask in masks_of(again).values()} == {0}
    assert_still_zero(trained(again), zeros)
    assert set(sparsities(again).values()) <= {0.75, 27 / 36, 13 / 18, 14 / 18, 9 / 12}


def test_the_model_itself_is_left_as_it_is():
    model = small_model()
    before = model.get_weights()
    trained(compression.prune(model, half))
    assert all(w.constraint is None for w in model.weights)
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def several_kernels(inputs):
    return kl.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)


def stack(inputs):
    return kv.StackedVanillaRNN([6, 6], name="stack")(inputs)


@pytest.mark.parametrize(("graph", "message"), [(several_kernels, "EinsumDense"), (stack, "VanillaRNNCell")])
def test_layers_whose_configuration_loses_a_mask_are_refused_by_name(graph, message):
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, kl.Dense(2, name="head")(graph(inputs)))
    with pytest.raises(ValueError, match=f"of {message}.*cannot be pruned.*does not carry.*`layers`"):
        compression.prune(model, half)
    assert len(masks_of(compression.prune(model, half, layers=["head"]))) == 1


class Subclassed(keras.Model):
    def __init__(self, size):
        super().__init__()
        self.rnn = kl.GRU(size)

    def call(self, x):
        return self.rnn(x)


def test_models_that_cannot_be_copied_are_refused_by_name():
    model = Subclassed(4)
    model(X)
    with pytest.raises(ValueError, match=r'Subclassed "subclassed.*" cannot be copied.*get_config'):
        compression.prune(model, half)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"schedule": 0.5}, TypeError, r"`schedule` must be a callable.*Received: schedule=0.5"),
        ({"schedule": lambda step: 0.5}, ValueError, r"must return \(should_prune, sparsity\)"),
        ({"schedule": lambda step: (True, 1.0)}, ValueError, r"sparsity in \[0, 1\).*sparsity=1.0 at step 0"),
        ({"schedule": lambda step: (True, float("nan"))}, ValueError, r"sparsity=nan"),
        ({"schedule": lambda step: (True, np.sqrt(step))}, ValueError, "with TensorFlow operations"),
        ({"layers": ["nonsense"]}, ValueError, "`layers` must name layers.*'nonsense'.*'rnn'"),
        ({"layers": "rnn"}, ValueError, "`layers` must be a list of names"),
        ({"layers": []}, ValueError, "`layers` must be a list of names"),
        ({"weights": ["gamma"]}, ValueError, "`weights` must name weights.*'gamma'"),
        ({"model": "rnn"}, TypeError, "`model` must be a Keras model"),
        ({"model": keras.Sequential([kl.Dense(2)])}, ValueError, "`model` must be built"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        compression.prune(**{"model": small_model(), "schedule": half, **arguments})


def test_a_quantized_layer_is_refused_by_name():
    model = keras.Sequential([keras.Input((4,)), kl.Dense(2, name="head")])
    model.get_layer("head").quantize("int8")
    with pytest.raises(ValueError, match='`kernel` of Dense "head" cannot be pruned'):
        compression.prune(model, half)


def test_the_callback_and_strip_pruning_need_a_pruned_model():
    model = small_model()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r'Sequential ".*" is not pruned.*kv\.compression.prune'):
        model.fit(X, Y, verbose=0, callbacks=[compression.PruningCallback()])
    with pytest.raises(ValueError, match="is not pruned"):
        compression.strip_pruning(model)
