"""TFMOT's schedules in a process that keeps its Keras 3, whichever is imported first."""

import os
import subprocess
import sys

import pytest

TRAINS_AND_EXPORTS = """
import keras, numpy as np
import keras_vrnn as kv
from keras_vrnn import compression
model = kv.Sequential([keras.Input((4, 3)), kv.VanillaRNN(8), keras.layers.Dense(2)])
pruned = compression.prune(model, schedule)
assert isinstance(pruned, kv.Sequential)
pruned.compile("adam", "mse", jit_compile=False)
x = np.random.default_rng(0).normal(size=(8, 4, 3)).astype("float32")
pruned.fit(x, x[:, 0, :2], verbose=0, callbacks=[compression.PruningCallback()])
pruned.save("model.keras")
again = keras.saving.load_model("model.keras")
again.fit(x, x[:, 0, :2], verbose=0)
assert np.mean(np.array(again.layers[0].cell.recurrent_kernel) == 0) == 0.5
kv.tflite.export(again, "model.tflite", quantization="int8", calibration_data=x)
assert keras.__version__[0] == "3", keras.__version__
"""

KERAS_VRNN_FIRST = """
import os, sys
import keras_vrnn as kv
from keras_vrnn import compression
compression.prune, compression.PruningCallback, compression.prune_units
assert not any(name.startswith("tensorflow_model_optimization") for name in sys.modules)
schedule = compression.ConstantSparsity(0.5, begin_step=0, frequency=1)
assert "TF_USE_LEGACY_KERAS" not in os.environ
import tensorflow as tf
assert tf.keras.version()[0] == "3", tf.keras
"""

TFMOT_FIRST = """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow_model_optimization as tfmot
schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0, frequency=1)
from keras_vrnn import compression
assert compression.ConstantSparsity is tfmot.sparsity.keras.ConstantSparsity
"""


def run(code, folder, *arguments):
    """Runs code in a fresh interpreter and returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOADS = """
import sys
import keras_vrnn
import keras
model = keras.saving.load_model(sys.argv[1])
print(type(model.layers[0].cell.recurrent_kernel.constraint).__name__)
"""


def test_a_fresh_process_loads_a_pruned_model_of_stock_layers(tmp_path):
    import keras

    from keras_vrnn import compression

    model = keras.Sequential([keras.Input((4, 3)), keras.layers.SimpleRNN(8), keras.layers.Dense(2)])
    compression.prune(model, lambda step: (True, 0.5)).save(tmp_path / "model.keras")
    assert run(LOADS, tmp_path, tmp_path / "model.keras") == "PruningMask"


@pytest.mark.slow
def test_replicas_agree_on_the_masks(tmp_path):
    """Two logical devices of the processor, six updates; the schedule prunes at steps 0 and 3."""
    code = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np
import keras_vrnn as kv
from keras_vrnn import compression
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = kv.Sequential([keras.Input((4, 3)), kv.VanillaRNN(8), keras.layers.Dense(2)])
pruned = compression.prune(model, lambda step: (step % 3 == 0, tf.where(step < 3, 0.25, 0.5)))
with strategy.scope():
    pruned.compile(keras.optimizers.Adam(0.1, weight_decay=0.1), "mse")
x = np.random.default_rng(0).normal(size=(24, 4, 3)).astype("float32")
logs = compression.PruningCallback()
history = pruned.fit(x, x[:, 0, :2], batch_size=8, epochs=2, verbose=0, callbacks=[logs]).history
print(history["sparsity"])
"""
    assert run(code, tmp_path) == "[0.25, 0.5]"


@pytest.mark.parametrize("order", [KERAS_VRNN_FIRST, TFMOT_FIRST], ids=["keras_vrnn first", "TFMOT first"])
def test_the_process_keeps_keras_3(order, tmp_path):
    run(order + TRAINS_AND_EXPORTS, tmp_path)


@pytest.mark.parametrize("choice", [None, "0", "1"])
def test_the_environment_is_as_it_was_also_where_the_import_fails(choice, monkeypatch):
    from keras_vrnn.compression import schedules

    name = "TF_USE_LEGACY_KERAS"
    if choice is None:
        monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setenv(name, choice)

    import_module = schedules.importlib.import_module

    def fail(module, *arguments):
        if module != "tensorflow_model_optimization":
            return import_module(module, *arguments)
        os.environ[name] = "1"
        raise ModuleNotFoundError("No module named 'distutils'", name="distutils")

    monkeypatch.setattr(schedules.importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError, match="distutils"):
        schedules.PolynomialDecay  # noqa: B018 - asking for it is what fails
    assert os.environ.get(name) == choice


def test_without_tfmot_the_message_says_what_to_install(monkeypatch):
    from keras_vrnn.compression import schedules

    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    with pytest.raises(ModuleNotFoundError, match=r"keras-vrnn\[compression\].*schedule of your own"):
        schedules.PolynomialDecay  # noqa: B018 - asking for it is what fails


def test_without_tfmot_help_passes_its_names_over(tmp_path):
    code = """
import pydoc, sys
sys.modules["tensorflow_model_optimization"] = None
import keras_vrnn as kv
from keras_vrnn.compression import *
print("prune_units" in pydoc.plain(pydoc.render_doc(kv.compression)), "PolynomialDecay" in dir(kv.compression))
"""
    assert run(code, tmp_path).split() == ["True", "False"]


def test_unknown_names_are_unknown():
    from keras_vrnn.compression import schedules

    with pytest.raises(AttributeError, match="no attribute 'CubicDecay'"):
        schedules.CubicDecay  # noqa: B018 - asking for it is what fails


def test_a_schedule_that_is_not_registered_any_more_is_named():
    from keras_vrnn.compression import schedules

    with pytest.raises(ValueError, match=r"'mine>Stairs', which is not registered.*kv\.compression\.prune"):
        schedules.from_config({"name": "mine>Stairs", "config": {}})


def test_subclasses_of_tfmot_schedules_that_are_registered_can_be_saved():
    import keras

    from keras_vrnn import compression
    from keras_vrnn.compression import schedules

    @keras.saving.register_keras_serializable(package="tests")
    class Later(compression.ConstantSparsity):
        pass

    config = schedules.to_config(Later(0.5, begin_step=3))
    assert config["name"] == "tests>Later"
    again = schedules.from_config(config)
    assert (type(again), again.begin_step, again.target_sparsity) == (Later, 3, 0.5)
