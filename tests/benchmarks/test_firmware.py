"""The measurement on emulated processors: equal integers, plausible figures, and what is said without the tools."""

import keras
import numpy as np
import pytest
from keras import layers
from simulated import export

import keras_vrnn as kv
from benchmarks import firmware
from keras_vrnn.tflite.micro import interpreter as micro

needs_tools = pytest.mark.skipif(
    bool(firmware.missing_tools()), reason=f"needs the Debian packages {firmware.missing_tools()}"
)


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    path = tmp_path_factory.mktemp("layer") / "int8.tflite"
    return path, firmware.export_layer(path, "int8")


@needs_tools
@pytest.mark.parametrize("core", firmware.CORES, ids=lambda core: core.name)
def test_every_core_gives_the_integers_of_the_simulation(core, layer, tmp_path):
    made = firmware.measure(*layer, core, ["-O3"], tmp_path)
    assert made.differing == 0
    assert made.compared == firmware.STEPS * firmware.UNITS
    assert made.instructions > firmware.UNITS * (firmware.UNITS + firmware.FEATURES)


@needs_tools
@pytest.mark.parametrize("core", firmware.CORES[:2], ids=lambda core: core.name)
@pytest.mark.parametrize("quantization", ["int8", "int8x4", "int16x8"])
def test_models_of_odd_sizes_on_a_processor(quantization, core, tmp_path):
    """Rows that are no multiple of four, masks, two outputs and softmax, by the kernels with and without DSP."""
    inputs = keras.Input((7, 5), name="x")
    h, last = kv.VanillaRNN(9, return_sequences=True, return_state=True)(layers.Masking()(inputs))
    outputs = [layers.Dense(3, activation="softmax")(kv.VanillaRNN(6)(h)), last]
    x = np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32)
    x[:3, 4:] = 0
    path = tmp_path / "m.tflite"
    export(keras.Model(inputs, outputs), path, x, quantization=quantization)
    # Without optimization, a compiler keeps a register for itself.
    for level in (*firmware.LEVELS, "-O0"):
        made = firmware.measure(path, x, core, [level], tmp_path)
        assert made.differing == 0
        assert made.compared > 0


@needs_tools
def test_the_layer_fits_its_bars_on_a_cortex_m4(layer, tmp_path):
    core = next(core for core in firmware.CORES if core.name == "Cortex-M4")
    made = firmware.measure(*layer, core, ["-O3"], tmp_path)
    assert made.code + made.constants <= 8192
    assert made.state + made.stack <= 512
    # A count of instructions, which no load of the machine changes.
    assert made.per_multiplication <= 3.0


def test_missing_tools_are_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(firmware.shutil, "which", lambda tool: None)
    firmware.main(["--out", str(tmp_path / "table.md")])
    assert (
        "Skipped: install the Debian packages binutils-arm-none-eabi, gcc-arm-none-eabi"
        in capsys.readouterr().out
    )
    assert not (tmp_path / "table.md").exists()


@pytest.mark.skipif(not micro.is_installed(), reason="needs the extra 'micro'")
def test_the_same_file_in_tflite_micro(layer):
    line = firmware.interpreter(layer[0], "int8")
    assert line.startswith(f"- int8: {layer[0].stat().st_size} bytes of file in flash, ")
