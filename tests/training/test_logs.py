"""Gradient norms in the logs: those of the steps of the epoch, in training and not in evaluation."""

import keras
import numpy as np
import pytest
from trainings import GRADIENT_LOGS, linear_model, recurrent_model, sequences

import keras_vrnn as kv
from keras_vrnn.training.callbacks import GradientNorms


def test_the_logs_of_an_epoch_summarize_its_steps():
    x, y = sequences()
    model = recurrent_model(kv.Model)
    model.compile("sgd", "mse", global_clipnorm=0.35)
    norms = GradientNorms()
    history = model.fit(x, y, batch_size=12, epochs=2, verbose=0, callbacks=[norms]).history
    for epoch in range(2):
        steps = slice(8 * epoch, 8 * epoch + 8)
        n, clipped = norms.norms[steps], norms.clipped_norms[steps]
        expected = {
            "grad_norm": n.mean(),
            "grad_norm_max": n.max(),
            "clipped_grad_norm": clipped.mean(),
            "clip_fraction": np.mean(clipped < n),
            "skipped_steps": 0,
        }
        for name, value in expected.items():
            # A running mean of eight float32.
            assert history[name][epoch] == pytest.approx(value, rel=1e-6), name


def test_validation_and_evaluation_report_no_gradient_norms():
    x, y = sequences()
    model = recurrent_model(kv.Model)
    model.compile("sgd", "mse")
    history = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    assert {name for name in history if name.startswith("val_")} == {"val_loss"}
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss"}
    assert set(model.test_on_batch(x, y, return_dict=True)) == {"loss"}


def test_a_custom_train_step_without_super_gives_a_warning():
    class Own(kv.Sequential):
        def train_step(self, data):
            return {"loss": keras.ops.zeros(())}

    model = Own([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", clipnorm=1.0)
    with pytest.warns(UserWarning, match=r"Own.train_step does not call super\(\).train_step"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)


def test_a_custom_train_step_may_add_to_the_logs_of_super():
    class Own(kv.Sequential):
        def train_step(self, data):
            return {**super().train_step(data), "extra": keras.ops.ones(())}

    model = Own([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", clipnorm=1.0)
    history = model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0).history
    assert set(history) == {"loss", "extra", *GRADIENT_LOGS}


def test_train_on_batch_returns_what_keras_returns_and_records():
    model = linear_model()
    norms = GradientNorms()
    norms.set_model(model)
    # More steps than the ring holds, none lost.
    for step in range(1, 301):
        loss = model.train_on_batch(np.array([[step, 0.0]], "float32"), np.zeros((1, 1)))
    assert np.shape(loss) == ()
    assert norms.steps.tolist() == norms.norms.tolist() == list(range(1, 301))
    logs = model.train_on_batch(np.ones((1, 2)), np.zeros((1, 1)), return_dict=True)
    assert set(logs) == {"loss", *GRADIENT_LOGS}
    model.compile("sgd", "mse", metrics=["mae"])
    assert len(model.train_on_batch(np.ones((1, 2)), np.zeros((1, 1)))) == 2
