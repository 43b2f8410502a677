"""Pruned weights, and only these, are exactly zero after every update of any optimizer."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from small_recurrent_models import X, Y, half, small_model, trained

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.compression.pruning import masks_of, sparsities


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


@pytest.mark.parametrize(
    "options",
    [
        {"clipnorm": 0.01, "truncate_steps": 2},
        {"global_clipnorm": 0.01, "steps_per_execution": 3},
        {"optimizer": keras.optimizers.SGD(0.1, momentum=0.9, clipvalue=0.01)},
    ],
    ids=["windows", "global", "in the optimizer"],
)
@pytest.mark.filterwarnings("ignore:The model takes over clipvalue")
def test_masks_hold_under_clipping_windows_and_the_next_optimizer(options):
    layers = [kv.VanillaRNN(6, return_sequences=True), kl.Dense(2)]
    pruned = compression.prune(kv.Sequential([keras.Input((None, 3)), *layers]), half)
    y = np.repeat(Y[:, None], X.shape[1], axis=1)
    for change in (options, {"optimizer": keras.optimizers.AdamW(0.1, weight_decay=0.1)}):
        pruned.compile(**{"optimizer": "adam", "loss": "mse", "jit_compile": False, **change})
        pruned.fit(X, y, batch_size=16, verbose=0)
        assert set(sparsities(pruned).values()) == {0.5}


def test_gated_layers_wrappers_nested_models_and_shared_layers():
    inputs = keras.Input((6, 3))
    inner = keras.Sequential([keras.Input((6, 8)), kl.LSTM(4, return_sequences=True)])
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


def test_pruning_again_goes_on_from_the_masks():
    pruned = trained(compression.prune(small_model(), half))
    zeros = zeros_of(pruned)
    again = compression.prune(pruned, lambda step: (step == 2, 0.75))
    assert {int(mask.step) for mask in masks_of(again).values()} == {0}
    assert_still_zero(trained(again), zeros)
    assert set(sparsities(again).values()) <= {0.75, 27 / 36, 13 / 18, 14 / 18, 9 / 12}


def test_layers_whose_configuration_loses_a_mask_are_refused_by_name():
    inputs = keras.Input((6, 3))
    attended = kl.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)
    model = keras.Model(inputs, kl.Dense(2, name="head")(attended))
    with pytest.raises(ValueError, match=r"of EinsumDense.*cannot be pruned.*does not carry.*`layers`"):
        compression.prune(model, half)
    assert len(masks_of(compression.prune(model, half, layers=["head"]))) == 1


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
