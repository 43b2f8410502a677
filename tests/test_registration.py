"""Classes are registered with Keras whichever of the two is imported first; see also test_package.py."""

import subprocess
import sys

import pytest

CHECK = "\nprint(keras.saving.get_registered_object('keras_vrnn>EncoderDecoder') is not None)"


@pytest.mark.parametrize("first", ["layers", "training", "models", "models.attention", "text"])
def test_all_classes_are_registered_after_any_first_import(first):
    """The modules import each other; the first to start loads before the others are registered."""
    code = f"import keras_vrnn.{first}, keras" + CHECK
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr


def test_the_hook_is_removed_after_the_import_of_keras():
    code = (
        "import sys, keras_vrnn\n"
        "count = lambda: sum(type(each).__name__ == '_AfterKeras' for each in sys.meta_path)\n"
        "before = count()\nimport keras\nprint(before, count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1 0\n", done.stderr
