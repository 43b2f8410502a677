"""The settings for gradients: their checks, and clipping that the optimizer brings along."""

import warnings

import keras
import pytest

from keras_vrnn.training.settings import GradientSettings, take_over_clipping


@pytest.mark.parametrize("name", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), "1", True])
def test_a_threshold_must_be_a_positive_number(name, value):
    with pytest.raises(
        ValueError, match=rf"`{name}` must be a finite number > 0. Received: {name}={value!r}"
    ):
        GradientSettings(**{name: value})


def test_two_ways_of_clipping_are_refused():
    with pytest.raises(
        ValueError, match=r"one way of clipping .* Received: clipnorm=1.0, global_clipnorm=2.0"
    ):
        GradientSettings(clipnorm=1.0, global_clipnorm=2.0)


def test_an_unknown_nonfinite_is_refused():
    with pytest.raises(
        ValueError, match=r"`nonfinite` must be one of 'skip', 'raise', 'apply'.*Received: nonfinite='ignore'"
    ):
        GradientSettings(nonfinite="ignore")


@pytest.mark.parametrize("theirs", [{"clipnorm": 2.0}, {"global_clipnorm": 2.0}, {"clipvalue": 2.0}])
def test_clipping_of_the_optimizer_is_taken_over_with_one_warning(theirs):
    optimizer = keras.optimizers.SGD(**theirs)
    with pytest.warns(UserWarning, match=rf"takes over {next(iter(theirs))}=2.0 of optimizer"):
        settings = take_over_clipping(GradientSettings(), optimizer)
    assert settings.thresholds == theirs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert take_over_clipping(GradientSettings(), optimizer).thresholds == theirs


def test_the_same_clipping_in_both_places_is_accepted():
    settings = GradientSettings(clipnorm=2.0)
    assert take_over_clipping(settings, keras.optimizers.SGD(clipnorm=2.0)) == settings


def test_different_clipping_in_both_places_is_refused():
    with pytest.raises(
        ValueError, match=r"Received: compile\(clipnorm=1.0\) and optimizer .* with global_clipnorm=2.0"
    ):
        take_over_clipping(GradientSettings(clipnorm=1.0), keras.optimizers.SGD(global_clipnorm=2.0))


def test_clipping_inside_a_loss_scale_optimizer_is_seen():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(clipnorm=3.0))
    with pytest.warns(UserWarning, match=r"clipnorm=3.0 of optimizer"):
        assert take_over_clipping(GradientSettings(), optimizer).clipnorm == 3.0
