"""The measurement on emulated processors: equal integers, plausible figures, and what is said without the tools."""

import pytest

from benchmarks import firmware

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
