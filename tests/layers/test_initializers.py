"""Initializers of the recurrent kernel."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vrnn as kv


def drawn(initializer, shape=(16, 16), dtype="float32"):
    return ops.convert_to_numpy(initializer(shape, dtype=dtype))


def test_scaled_identity():
    np.testing.assert_array_equal(drawn(kv.initializers.ScaledIdentity()), np.eye(16))
    np.testing.assert_array_equal(drawn(kv.initializers.ScaledIdentity(0.5)), 0.5 * np.eye(16))
    noise = drawn(kv.initializers.ScaledIdentity(2.0, noise=0.1, seed=0), (64, 64)) - 2 * np.eye(64)
    # Mean and deviation of 4,096 draws: standard errors 0.1/64 and 0.1/90; five of them.
    assert abs(noise.mean()) < 0.008
    assert noise.std() == pytest.approx(0.1, abs=0.006)


@pytest.mark.parametrize("radius", [0.5, 0.95, 1.3])
@pytest.mark.parametrize("units", [1, 2, 33])
def test_spectral_radius(radius, units):
    kernel = drawn(kv.initializers.SpectralRadius(radius, seed=units), (units, units))
    # Eigenvalues of float32 entries: 6e-8 of the matrix norm, amplified by their condition.
    assert abs(np.linalg.eigvals(kernel)).max() == pytest.approx(radius, rel=1e-4)
    assert units == 1 or np.any(kernel != kernel.T)


@pytest.mark.parametrize("name", ["ScaledIdentity", "SpectralRadius"])
def test_seed_config_and_layer(name):
    arguments = {"ScaledIdentity": {"gain": 0.9, "noise": 0.01}, "SpectralRadius": {"radius": 0.8}}[name]
    initializer = getattr(kv.initializers, name)(**arguments, seed=3)
    assert initializer.get_config() == {**arguments, "seed": 3}
    clone = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    np.testing.assert_array_equal(drawn(clone), drawn(initializer))
    assert np.any(drawn(getattr(kv.initializers, name)(**arguments, seed=4)) != drawn(initializer))
    unseeded = getattr(kv.initializers, name)(**arguments)
    np.testing.assert_array_equal(drawn(unseeded), drawn(unseeded))
    assert np.any(drawn(unseeded.clone()) != drawn(unseeded))
    layer = kv.VanillaRNN(16, recurrent_initializer=initializer)
    layer.build((None, None, 3))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.cell.recurrent_kernel), drawn(initializer))
    clone = kv.VanillaRNN.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    assert drawn(initializer, dtype="float16").dtype == "float16"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: kv.initializers.SpectralRadius(0),
            r"`radius` must be a finite number > 0. Received: radius=0",
        ),
        (lambda: kv.initializers.SpectralRadius("1"), r"`radius` must be a finite number.*radius='1'"),
        (lambda: kv.initializers.ScaledIdentity(float("inf")), r"`gain` must be a finite number. Received"),
        (lambda: kv.initializers.ScaledIdentity(noise=-1), r"`noise` must be a finite number ≥ 0"),
        (lambda: kv.initializers.SpectralRadius(seed="a"), r"`seed` must be an integer or None"),
        (
            lambda: kv.initializers.SpectralRadius()((3, 4)),
            r"`shape` must be \(units, units\), because.*Received: shape=\(3, 4\)",
        ),
        (lambda: kv.initializers.ScaledIdentity()((3,)), r"Pass it as `recurrent_initializer`"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
