"""Each page as a reader follows it: its Python blocks and its commands run in order, and its links lead somewhere.

A page whose result is checked, or that needs the reader's data, has a test of its name; the others only have to run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import page_notebook
import pages
import pytest

import keras_vrnn as kv

pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def arrays(samples, steps, features, targets):
    random = np.random.default_rng(0)
    return random.normal(size=(samples, steps, features)), random.normal(size=(samples, steps, targets))


def test_readme(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 50, 4)).astype("float32")
    np.save("x.npy", x)
    for name in ("train.npz", "test.npz"):
        np.savez(name, x=x, y=random.integers(0, 4, 100))
    names = pages.run("README.md")
    assert names["probabilities"].shape == (400, 4)
    assert (tmp_path / "norms.csv").exists()
    assert (tmp_path / "firmware" / "model.c").exists()


def test_native_readme():
    assert pages.run("keras_vrnn/native/README.md")["info"].layer


@pytest.mark.slow
def test_export(tmp_path):
    names = pages.run("docs/export.md")
    assert names["probabilities"].shape == (4,)
    assert (tmp_path / "verification.png").stat().st_size > 0
    assert (tmp_path / "firmware" / "model_data.cc").exists()


def test_microcontrollers(tmp_path):
    """The program of the page, compiled, prints what the runner computes."""
    compiler = shutil.which("gcc")
    names = pages.run("docs/microcontrollers.md")
    if compiler is None:
        pytest.skip("needs the program gcc")
    ((_, _, code),) = pages.blocks("docs/microcontrollers.md", "c")
    (tmp_path / "main.c").write_text(code)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Ifirmware"]
    subprocess.run([compiler, *flags, "main.c", "firmware/gesture.c", "-o", "program"], check=True)
    readings = names["readings"][:1].astype(np.float32)
    done = subprocess.run(["./program"], input=readings.tobytes(), capture_output=True, check=True)
    printed = [line.split() for line in done.stdout.decode().splitlines()]
    card = kv.tflite.Runner("gesture.tflite").card
    expected = kv.tflite.simulate("gesture.tflite", card.normalized(readings))[0]
    assert [name for name, _ in printed] == card.likeliest(expected).tolist()
    # Two digits are printed.
    np.testing.assert_allclose([float(value) for _, value in printed], expected.max(axis=-1), atol=5.1e-3)
    assert (tmp_path / "arduino" / "examples" / "gesture" / "gesture.ino").exists()


def test_sequence_to_sequence(tmp_path):
    names = pages.run("docs/sequence_to_sequence.md")
    assert names["found"].tokens.shape[:2] == (3, 4)
    assert (tmp_path / "reverse.keras").is_file()
    assert (tmp_path / "reverse" / "manifest.json").is_file()


def test_truncated_bptt():
    names = pages.run("docs/truncated_bptt.md")
    # Windows of 50, 50 and 20 steps, in each of three epochs.
    assert int(names["model"].optimizer.iterations) == 9


def test_distribution():
    names = pages.run("docs/distribution.md")
    assert names["model"].distribute_strategy is names["strategy"]
    assert names["model"].history.params["steps"] == 4


def test_gradients(tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(64, 60, 3)).astype("float32")
    y = (x[:, 0, :1] > 0).astype("float32")
    with pytest.warns(UserWarning, match="vanishing"):
        names = pages.run("docs/gradients.md", x_train=x, y_train=y, x_validation=x[:16], y_validation=y[:16])
    for name in ("norms.csv", "norms.png", "flow.png", "both.png"):
        assert (tmp_path / name).exists()
    # The numbers on the page come from one machine; these are the conclusions that it draws from them.
    assert names["health"].verdict.kind == names["flow"].verdict.kind == "vanishing"
    assert 4 <= names["flow"].horizon <= 8
    assert "largest Lyapunov exponent: -0." in capsys.readouterr().out


def test_choosing_a_cell(capsys):
    pages.run("docs/choosing_a_cell.md")
    counts = [int(line.split()[1]) for line in capsys.readouterr().out.splitlines() if " weights: " in line]
    assert len(counts) == 4
    assert max(counts) < 1.05 * min(counts)  # "about as many weights each"


def test_initializers():
    names = pages.run("docs/initializers.md")
    for layer in (names["irnn"], names["far"]):
        assert layer(keras.ops.zeros((1, 2, 3))).shape == (1, layer.units)


def test_diagnosis(capsys):
    pages.run("docs/decisions/diagnosis.md")
    # "With NumPy's seed 0, the mean is 3.0e-3."
    assert round(float(capsys.readouterr().out), 4) == 0.0030


@pytest.mark.slow
def test_compression(tmp_path):
    names = pages.run("docs/compression.md")
    found = kv.tflite.simulate(tmp_path / "int8.tflite", names["x"][:50])
    np.testing.assert_array_equal(found, names["aware"].predict(names["x"][:50], verbose=0))


def run_cells(page):
    """Runs the cells of a page's notebook, at small size, and returns all variables after the last."""
    names = {}
    for cell in json.loads(page_notebook.text(pages.ROOT / page, EPOCHS=1))["cells"]:
        if cell["cell_type"] == "code":
            exec(cell["source"], names)
    return names


def test_tutorial(tmp_path):
    names = run_cells("docs/tutorial.md")
    assert names["report"].agreement > 0.9
    assert (tmp_path / "firmware" / "digits.c").exists()


@pytest.mark.slow
def test_notebook_of_the_tutorial(tmp_path):
    """As readers get it, in a kernel of its own."""
    pytest.importorskip("nbclient")
    path = tmp_path / "tutorial.ipynb"
    path.write_text(page_notebook.text(pages.ROOT / "docs/tutorial.md", EPOCHS=1), encoding="utf-8")
    program = "from nbclient.cli import main; main()"
    command = [sys.executable, "-c", program, "--inplace", "--timeout=300", str(path)]
    environment = os.environ | {"PYTHONPATH": str(pages.ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    printed = "".join(text for output in outputs for text in output.get("text", ()))
    assert "held-out digits recognized" in printed


def test_sensor_csv(tmp_path):
    names = run_cells("docs/sensor_csv.md")
    assert not set(names["known"].person) & set(names["unknown"].person)
    assert names["report"].agreement > 0.9
    assert (tmp_path / "activity.tflite").exists()


WITHOUT_OWN_TEST = [
    page
    for page in pages.with_python()
    if f"test_{pages.stem(page)}" not in globals() and pages.stem(page) != "troubleshooting"
]


@pytest.mark.parametrize("page", WITHOUT_OWN_TEST)
def test_page_runs(page):
    pages.run(page)


NOTEBOOKS = {str(Path(page).with_suffix(".ipynb")) for page in page_notebook.PAGES}  # made by `make docs`


@pytest.mark.parametrize("page", pages.documents())
def test_links_lead_somewhere(page):
    text = (pages.ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://") or link in NOTEBOOKS:
            continue
        target, _, heading = link.partition("#")
        file = (pages.ROOT / page).parent / target if target else pages.ROOT / page
        assert file.exists(), link
        assert not heading or heading in pages.headings(file), link


@pytest.mark.parametrize("page", pages.documents())
def test_modules_that_a_page_names_exist(page):
    text = (pages.ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:\w+/)+\w+\.py\b", text)) - pages.ELSEWHERE
    assert not {name for name in named if not any((folder / name).exists() for folder in pages.SOURCES)}
