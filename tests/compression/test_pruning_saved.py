"""Masks survive files, clones, interrupted trainings and export."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.compression.pruning import masks_of, sparsities
from keras_vrnn.tflite.reading import TYPE_NAMES, read

RNG = np.random.default_rng(4)
X = RNG.normal(size=(48, 5, 3)).astype("float32")
Y = RNG.normal(size=(48, 2)).astype("float32")


def new_model(layer=lambda: kv.VanillaRNN(6)):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5, 3))
    return kv.Model(inputs, kl.Dense(2)(layer()(inputs)))


def wrapped():
    return kl.Bidirectional(kv.VanillaRNN(4))


def stack():
    return kv.StackedVanillaRNN([4, 4], kernel_constraint="non_neg")


def cells():
    return kl.RNN([kl.GRUCell(4), kl.LSTMCell(3)])


def pruned_model(schedule=None, **options):
    schedule = schedule or compression.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=9, frequency=3)
    return compiled(compression.prune(new_model(**options), schedule))


def compiled(model):
    model.compile(keras.optimizers.Adam(0.05, weight_decay=0.01), "mse", jit_compile=False)
    # Keras warns of files with fewer variables of the optimizer than the model has.
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, epochs=1, **options):
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, shuffle=False, **options)
    return model


def assert_same(first, second):
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def saved_and_loaded(model, folder, **options):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def by_weight_file(model, folder, **options):
    model.save_weights(folder / "model.weights.h5")
    fresh = pruned_model(**options)
    fresh.load_weights(folder / "model.weights.h5")
    return fresh


@pytest.mark.parametrize(
    ("way", "layer"),
    [
        (saved_and_loaded, wrapped),
        (saved_and_loaded, stack),
        (saved_and_loaded, cells),
        (by_weight_file, stack),
    ],
)
def test_an_interrupted_schedule_goes_on_where_it_was(way, layer, tmp_path):
    """Six updates, a file, six more: twelve updates. The schedule prunes at steps 0, 3, 6 and 9."""
    straight = fit(pruned_model(layer=layer), epochs=2)
    again = way(fit(pruned_model(layer=layer)), tmp_path, layer=layer)
    fit(again)
    assert [int(mask.step) for mask in masks_of(again).values()] == [12] * len(masks_of(again))
    assert list(sparsities(again).values()) == list(sparsities(straight).values())
    if way is saved_and_loaded:
        assert_same(again, straight)


def test_an_encoder_decoder_has_a_mask_for_each_kernel(tmp_path):
    model = kv.EncoderDecoder(
        9,
        9,
        units=4,
        encoder_units=3,
        bidirectional=True,
        attention=5,
        embedding=6,
        kernel_constraint="non_neg",
    )
    weights = ("kernel", "recurrent_kernel", "embeddings")
    pruned = compression.prune(model, lambda step: (step == 0, 0.5), weights=weights)
    # 2 tables, 2 kernels in each of the 3 recurrences, a bridge, 3 of the attention, the combination and the logits.
    assert len(masks_of(pruned)) == 2 + 2 * 3 + 1 + 3 + 1 + 1
    source = RNG.integers(3, 9, (16, 5))
    target_in, target_out = pruned.teacher_forcing(RNG.integers(3, 9, (16, 4)))
    again = pruned
    for _ in range(2):
        again.compile("adam", jit_compile=False)
        again.fit((source, target_in), target_out, batch_size=8, verbose=0)
        for path, mask in masks_of(again).items():
            kept = np.array(mask.pruning_mask)
            assert abs(kept.sum() - kept.size / 2) <= 0.5, path  # an odd number of weights has no half
            np.testing.assert_array_equal(kept, masks_of(pruned)[path].pruning_mask)
            assert not np.array(next(w for w in again.weights if w.path == path))[~kept].any()
        again = saved_and_loaded(again, tmp_path)
    stripped = compression.strip_pruning(again)
    assert_same(stripped, again)
    assert stripped.get_config() == model.get_config()


@pytest.mark.parametrize("names", [["layer_0"], ["layer_1"]])
def test_layers_of_a_stack_can_be_pruned_alone(names):
    model = kv.Sequential(
        [
            keras.Input((5, 3)),
            kv.StackedVanillaRNN([4, 6], kernel_constraint="non_neg", name="stack"),
            kl.Dense(2),
        ]
    )
    pruned = compression.prune(model, lambda step: (True, 0.5), layers=names)
    fit(compiled(pruned))
    assert {path.split("/")[1] for path in sparsities(pruned)} == set(names)
    twin = keras.models.clone_model(pruned)
    kinds = [type(layer.cell.kernel_constraint).__name__ for layer in twin.get_layer("stack").layers]
    assert kinds == ["PruningMask" if f"layer_{k}" in names else "NonNeg" for k in range(2)]
    unbuilt = kv.StackedVanillaRNN.from_config(pruned.get_layer("stack").get_config())
    assert unbuilt.get_config() == pruned.get_layer("stack").get_config()
    assert compression.strip_pruning(pruned).get_config() == model.get_config()


def test_a_clone_keeps_the_zeros_once_it_has_the_weights():
    pruned = fit(pruned_model(), epochs=2)
    clone = keras.models.clone_model(pruned)
    clone.set_weights(pruned.get_weights())
    before = [np.array(w) == 0 for w in pruned.weights]
    fit(compiled(clone))
    for value, zero in zip(clone.get_weights(), before, strict=True):
        assert not value[zero].any()


def test_backup_and_restore_brings_the_masks_back(tmp_path):
    """Training four epochs equals two epochs, an interruption, and a fresh model that resumes."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    straight = fit(pruned_model(), epochs=4)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(pruned_model(), epochs=4, callbacks=[backup, Stop()])
    resumed = fit(pruned_model(), epochs=4, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup")])
    assert_same(resumed, straight)
    assert min(sparsities(resumed).values()) > 0.75


@keras.saving.register_keras_serializable(package="tests")
class Stairs:
    """A user's own schedule, registered."""

    def __init__(self, height):
        self.height = height

    def __call__(self, step):
        return step % 4 == 3, self.height

    def get_config(self):
        return {"height": self.height}


def of_tfmot(height):
    """A user's own subclass of TFMOT's base class, not registered."""

    class Own(compression.ConstantSparsity.__bases__[0]):
        def __call__(self, step):
            return self._should_prune_in_step(step, 3, -1, 4), height

        def get_config(self):
            return {"class_name": "Own", "config": {}}

    return Own()


def test_registered_schedules_go_on_and_others_leave_the_masks_as_they_are(tmp_path):
    own = of_tfmot(0.5)
    assert type(own).__mro__[1].__name__ == "PruningSchedule"
    assert max(sparsities(fit(pruned_model(own))).values()) == 0.5
    for schedule, final in ((Stairs(0.5), 0.5), (lambda step: (step % 4 == 3, 0.5), 0.0), (own, 0.0)):
        again = saved_and_loaded(pruned_model(schedule), tmp_path)
        assert max(sparsities(fit(again)).values()) == final


def test_a_loaded_model_needs_no_tfmot_unless_it_trains(tmp_path, monkeypatch):
    import sys

    path = tmp_path / "model.keras"
    fit(pruned_model()).save(path)
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    again = keras.saving.load_model(path)
    again.predict(X, verbose=0)
    saved_and_loaded(again, tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'keras-vrnn\[compression\]'"):
        fit(again)


def test_stripped_models_have_the_zeros_and_no_masks(tmp_path):
    pruned = fit(pruned_model(layer=lambda: kl.SimpleRNN(6)), epochs=2)
    stripped = compression.strip_pruning(pruned)
    assert_same(stripped, pruned)
    assert "PruningMask" not in stripped.to_json()
    assert_same(saved_and_loaded(stripped, tmp_path), pruned)


def test_weights_of_the_dense_model_load_into_the_pruned_one_and_back(tmp_path):
    dense, pruned = compiled(new_model()), fit(pruned_model(), epochs=2)
    masks = {path: np.array(mask.pruning_mask) for path, mask in masks_of(pruned).items()}
    dense.save_weights(tmp_path / "dense.weights.h5")
    pruned.save_weights(tmp_path / "pruned.weights.h5")
    dense.load_weights(tmp_path / "pruned.weights.h5")
    assert_same(dense, pruned)
    pruned.load_weights(tmp_path / "dense.weights.h5")
    for path, mask in masks_of(pruned).items():
        np.testing.assert_array_equal(mask.pruning_mask, masks[path])
    fit(pruned)
    for path, mask in masks.items():
        value = next(np.array(w) for w in pruned.weights if w.path == path)
        assert not value[~mask].any()


def constants(path):
    """The weights in a file, each once."""
    _, model = read(path)
    for tensor in {t.buffer: t for graph in model.subgraphs for t in graph.tensors}.values():
        data = model.buffers[tensor.buffer].data
        if data is not None and TYPE_NAMES[tensor.type].lower() in ("float32", "float16", "int8"):
            yield np.frombuffer(bytes(data), TYPE_NAMES[tensor.type].lower()).reshape(tensor.shape)


@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_exported_kernels_have_the_zeros(quantization, tmp_path):
    """Strongly correlated units are the hard case, in which compensated rounding moves errors most."""
    inputs = keras.Input((5, 8))
    model = kv.Model(inputs, kl.Dense(2)(kv.VanillaRNN(32, kernel_initializer="ones")(inputs)))
    x = np.repeat(RNG.normal(scale=0.1, size=(64, 5, 1)), 8, axis=-1).astype("float32")
    pruned = compression.prune(model, compression.ConstantSparsity(0.8, 0, frequency=1))
    pruned.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
    pruned.fit(x, np.zeros((64, 2)), verbose=0)
    path = tmp_path / "model.tflite"
    data = {"calibration_data": x} if quantization.startswith("int") else {}
    kv.tflite.export(pruned, path, quantization=quantization, **data)
    zeros = np.array(pruned.layers[1].cell.recurrent_kernel).T == 0
    assert zeros.mean() > 0.79
    kernels = [value for value in constants(path) if value.shape == (32, 32)]
    assert len(kernels) == 1
    assert not kernels[0][zeros].any()
    shown = [
        t.zeros
        for graph in kv.tflite.inspect(path).subgraphs
        for t in graph.tensors
        if t.shape == (32, 32) and t.bytes
    ]
    assert min(shown) >= zeros.mean()  # rounding to integers may add some


@pytest.mark.parametrize("limit", [127, 7])
def test_compensated_rounding_leaves_zeros_alone(limit):
    from keras_vrnn.quantization.rounding import compensated

    weights = RNG.normal(size=(64, 64)) * (RNG.random((64, 64)) < 0.2)
    x = RNG.normal(size=(5000, 1)) + 0.3 * RNG.normal(size=(5000, 64))
    scale = np.abs(weights).max(axis=1, keepdims=True) / limit
    integers = compensated(weights, scale, limit, (5000, x.T @ x))
    assert not integers[weights == 0].any()
