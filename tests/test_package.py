"""What `import keras_vrnn` promises: names, laziness, registration, version."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import keras_vrnn as kv

# The documented public names; change them here, in the README and in the CHANGELOG together.
PUBLIC_NAMES = [
    "Bidirectional",
    "EncoderDecoder",
    "FastRNN",
    "FastRNNCell",
    "Model",
    "Sequential",
    "StackedVanillaRNN",
    "Symbols",
    "VanillaRNN",
    "VanillaRNNCell",
    "__version__",
    "backend_info",
    "callbacks",
    "compression",
    "datasets",
    "diagnostics",
    "initializers",
    "many_to_many",
    "many_to_one",
    "models",
    "native",
    "one_to_many",
    "text",
    "tflite",
    "training",
]

# Two ways in which TensorFlow and Keras are not there: blocked by the program, and not installed.
BLOCKED_BY_NONE = "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'tf_keras']))\n"
BLOCKED_BY_FINDER = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('tensorflow', 'keras', 'tf_keras'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def run_python(tmp_path):
    """Runs code in a fresh interpreter, outside the checkout, and returns what it printed."""

    def run(code, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def saved_model(tmp_path):
    import keras

    model = kv.Sequential(
        [keras.Input((5, 3)), kv.VanillaRNN(4, return_sequences=True), keras.layers.RNN(kv.VanillaRNNCell(2))]
    )
    path = tmp_path / "model.keras"
    model.save(path)
    return path


def test_public_names_are_the_documented_ones():
    assert sorted(kv.__all__) == PUBLIC_NAMES
    assert kv.__all__ == ["__version__", *sorted(set(kv.__all__) - {"__version__"})]
    assert dir(kv) == sorted(kv.__all__)


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_every_public_name_resolves(name):
    assert getattr(kv, name) is getattr(kv, name)


def test_every_module_can_be_the_first_touched(run_python):
    """No module may rely on another having been imported before: each time, none of this package is there."""
    code = """
import importlib, operator, sys
for name in sys.argv[1:]:
    for module in [each for each in sys.modules if each.partition(".")[0] == "keras_vrnn"]:
        del sys.modules[module]
    print(operator.attrgetter(name)(importlib.import_module("keras_vrnn")) is not None)
"""
    names = [*PUBLIC_NAMES, "diagnostics.spectrum", "tflite.export"]
    assert run_python(code, *names).split() == ["True"] * len(names)


MODULES = [
    "callbacks",
    "compression",
    "datasets",
    "diagnostics",
    "initializers",
    "models",
    "text",
    "tflite",
    "training",
]


@pytest.mark.parametrize("name", MODULES)
def test_dir_shows_public_names_only(name):
    module = getattr(kv, name)
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, public) for public in module.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'keras_vrnn' has no attribute 'VanilaRNN'"):
        kv.VanilaRNN  # noqa: B018


def test_import_loads_neither_tensorflow_nor_keras(run_python):
    code = "import keras_vrnn, sys; print([n for n in ('tensorflow', 'keras', 'numpy') if n in sys.modules])"
    assert run_python(code) == "[]"


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, keras_vrnn",
        "import keras_vrnn, keras",
        # A search for Keras, as libraries make to see whether it is there, must not use up the registration.
        "import keras_vrnn, importlib.util; importlib.util.find_spec('keras'); import keras",
    ],
)
def test_saved_model_loads_without_custom_objects(run_python, saved_model, imports):
    code = f"import sys\n{imports}\nprint(type(keras.saving.load_model(sys.argv[1]).layers[0]).__module__)"
    assert run_python(code, saved_model).startswith("keras_vrnn.layers")


@pytest.mark.parametrize("block", [BLOCKED_BY_NONE, BLOCKED_BY_FINDER])
def test_import_works_without_keras_and_leaves_its_import_error_alone(run_python, block):
    code = block + (
        "import keras_vrnn\n"
        "try:\n    import keras\n"
        "except ModuleNotFoundError as error:\n    print(error.name)"
    )
    assert run_python(code) == "keras"


def test_runner_works_without_keras_and_tensorflow(run_python, saved_model, tmp_path):
    import keras

    model = keras.saving.load_model(saved_model)
    exported = tmp_path / "model.tflite"
    kv.tflite.export(model, exported, form="sequence", quantization="float32")
    code = BLOCKED_BY_FINDER + (
        "import numpy as np\n"
        "from keras_vrnn.tflite import Runner\n"
        "print(Runner(sys.argv[1])(np.zeros((3, 5, 3), np.float32)).shape)"
    )
    assert run_python(code, exported) == "(3, 2)"


def test_every_module_has_a_test_of_its_name():
    tests, package = Path(__file__).parent, Path(kv.__file__).parent
    missing = set()
    for module in package.rglob("*.py"):
        path = module.relative_to(package)
        name = f"test_{path.stem.removeprefix('_')}.py"
        # Packages only pass names on; the version and `python -m keras_vrnn` are tested in this file.
        if (
            path.stem not in ("__init__", "__main__", "_version")
            and not (tests / path.parent / name).is_file()
        ):
            missing.add(path.as_posix())
    assert not missing, "every module needs a test of its name in the mirrored folder"


def test_python_dash_m_runs_the_command_line(run_python):
    code = (
        "import runpy, sys; sys.argv = ['', '--version']; runpy.run_module('keras_vrnn', run_name='__main__')"
    )
    assert run_python(code) == kv.__version__


def test_version_has_one_source():
    assert kv.__version__ == importlib.metadata.version("keras-vrnn")


def test_installed_files_are_those_of_the_checkout():
    """The wheel holds every module and py.typed; from an editable install, there is nothing to compare."""
    source = Path(__file__).parents[1] / "keras_vrnn"
    installed = Path(kv.__file__).parent
    if installed == source:
        pytest.skip("runs against the installed wheel: make wheel-test")

    def files(folder):
        return {p.relative_to(folder) for p in folder.rglob("*") if p.suffix in (".py", ".typed")}

    assert files(installed) == files(source)
