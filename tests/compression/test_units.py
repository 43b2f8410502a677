"""Removed units: the model gets smaller, and computes the same where they had no effect."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from small_recurrent_models import X, Y, compiled, randomized, silence, weight

import keras_vrnn as kv
from keras_vrnn import compression

# float32 rounding of sums in another order over some steps.
ROUNDING = 1e-5


@pytest.mark.parametrize("layer", [kv.VanillaRNN, kl.SimpleRNN, kl.GRU, kl.LSTM])
@pytest.mark.parametrize("criterion", ["taylor", "reconstruction"])
def test_units_that_nothing_reads_go_first_and_leave_the_outputs_as_they_were(layer, criterion):
    model = kv.Sequential([keras.Input((6, 3)), layer(8, name="rnn"), kl.Dense(2, name="head")])
    randomized(compiled(model))
    silent = [1, 4, 5, 7]
    silence(weight(model, "recurrent_kernel"), silent)
    silence(weight(model, "head/kernel"), silent)
    before = np.array(model(X))
    small = compression.prune_units(model, keep=0.5, data=(X, Y), criterion=criterion)
    assert isinstance(small, kv.Sequential)
    assert small.get_layer("rnn").units == 4
    np.testing.assert_allclose(small(X), before, atol=ROUNDING)
    stays = [0, 2, 3, 6]
    np.testing.assert_array_equal(weight(small, "head/kernel"), np.array(weight(model, "head/kernel"))[stays])
    assert model.get_layer("rnn").units == 8  # the model itself is left as it is


def test_only_named_layers_lose_units():
    layers = [kv.VanillaRNN(8, return_sequences=True, name="a"), kl.GRU(8, name="b"), kl.Dense(2)]
    model = randomized(kv.Sequential([keras.Input((6, 3)), *layers]))
    small = compression.prune_units(model, keep={"b": 0.25}, data=X)
    assert [small.get_layer(name).units for name in "ab"] == [8, 2]


def test_subclassed_models_are_refused():
    model = kv.EncoderDecoder(9, 9, units=4, source_length=5, target_length=5)
    with pytest.raises(TypeError, match="EncoderDecoder"):
        compression.prune_units(model, data=X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.0}, "`keep` must be a finite number > 0"),
        ({"keep": 1.5}, r"`keep` must be in \(0, 1\]"),
        ({"keep": {"nonsense": 0.5}}, "`keep` must name layers of the model. Received: 'nonsense'"),
        ({"keep": {"head": 0.5}}, "without any layer"),
        ({"criterion": "size"}, "`criterion` must be one of 'reconstruction', 'taylor'"),
        ({"criterion": "taylor"}, "needs targets"),
        ({"data": (X, Y), "criterion": "taylor"}, "not compiled"),
        ({"data": (X, Y[:3])}, "same number of samples"),
        ({"data": []}, "`data`"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    model = kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(4), kl.Dense(2, name="head")])
    with pytest.raises(ValueError, match=message):
        compression.prune_units(model, **{"data": X, **arguments})


def test_dataset_as_data():
    import tensorflow as tf

    model = compiled(kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(4), kl.Dense(2)]))
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    assert compression.prune_units(model, data=data).layers[0].units == 2
