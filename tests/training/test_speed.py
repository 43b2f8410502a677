"""What fit chooses by itself, and that the choice changes no result."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv

X = np.random.default_rng(0).normal(size=(320, 6, 3)).astype("float32")
Y = np.random.default_rng(1).integers(0, 2, 320)


def model(timesteps=6, layer=None, **options):
    keras.utils.set_random_seed(1)
    made = kv.Sequential(
        [keras.Input((timesteps, 3)), layer or kv.VanillaRNN(4), keras.layers.Dense(2, "softmax")]
    )
    made.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", **options)
    return made


class EachBatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch)


@keras.saving.register_keras_serializable("test_speed")
class OwnLayer(keras.layers.Layer):
    def call(self, x):
        return x[:, -1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"jit_compile": False}, False),
        ({"jit_compile": True}, True),
        ({"run_eagerly": True}, False),
        ({"timesteps": None}, False),  # XLA would compile anew for every length
        ({"layer": keras.layers.Flatten()}, False),  # no loop to gain from
        ({"layer": OwnLayer()}, False),  # nobody knows whether XLA can
    ],
)
def test_xla_is_chosen_where_it_is_safe_and_helps(options, expected):
    assert model(**options).jit_compile is expected


def test_the_users_steps_per_execution_is_kept():
    made = model(steps_per_execution=3)
    made.fit(X, Y, batch_size=4, verbose=0)
    assert made.steps_per_execution == 3
    made = model(steps_per_execution=1)
    made.fit(X, Y, batch_size=4, verbose=0)
    assert made.steps_per_execution == 1


def test_a_callback_that_wants_every_batch_gets_it():
    made, each = model(), EachBatch()
    made.fit(X, Y, batch_size=4, verbose=0, callbacks=[each])
    assert each.seen == list(range(80))
    made.fit(X, Y, batch_size=4, verbose=0)
    assert made.steps_per_execution == 4  # 80 batches, 20 updates of the progress bar


def test_unknown_lengths_and_long_steps_come_back_after_every_batch():
    made = model()
    generator = ((X[:4], Y[:4]) for _ in range(8))
    made.fit(generator, steps_per_epoch=8, shuffle=False, verbose=0)
    assert made.steps_per_execution == 1
    large = model(layer=kv.VanillaRNN(1500))
    assert kv.training.speed.batches_per_execution(large, 64, 1000, []) == 1


def test_the_choice_changes_neither_weights_nor_norms():
    runs = []
    for options in ({}, {"jit_compile": False, "steps_per_execution": 1}):
        made, norms = model(**options), kv.callbacks.GradientNorms()
        # 107 batches of 3, the last of 2: a prime number, and a last batch of another size.
        history = made.fit(X, Y, batch_size=3, epochs=2, verbose=0, callbacks=[norms])
        runs.append((made.get_weights(), norms.norms, history.history))
    (weights, norms, history), (plain_weights, plain_norms, plain_history) = runs
    assert len(norms) == 214
    # float32 sums in another order, over 214 steps.
    for chosen, plain in zip(weights, plain_weights, strict=True):
        np.testing.assert_allclose(chosen, plain, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norms, plain_norms, rtol=1e-3)
    for name in plain_history:
        np.testing.assert_allclose(history[name], plain_history[name], rtol=1e-3, err_msg=name)
