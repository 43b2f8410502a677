"""TFLite's metadata: read against what the library tflite-support 0.4.4 wrote, and written so that it reads back."""

import base64
import contextlib

import pytest

from keras_vrnn.tflite import model_metadata

# Packed by its generated classes, from a model with dimension names, content, statistics and a thresholding unit too.
FOREIGN = base64.b64decode(
    "HAAAAE0wMDEUACAAHAAYABQAEAAMAAgAAAAEABQAAAAcAAAAJAAAACgAAAAsAAAAsAEAALQBAADIAQAABQAAADEuMC4wAAAAAwAA"
    "AE1JVAABAAAAQQAAAAEAAAAQAAAADAAMAAAAAAAIAAQADAAAAAgAAACcAAAAAQAAABgAAAAAABIAEAAMAAAAAAAAAAgAAAAEABIA"
    "AAAMAAAARAAAAGgAAAABAAAAEAAAAAwAEAAMAAAACwAEAAwAAAAMAAAAAAAAAgwAAAACAAAAZW4AAAoAAABsYWJlbHMudHh0AAAB"
    "AAAADAAAAAgACgAJAAQACAAAAAwAAAAAAwYACAAEAAYAAAAAAAA/AQAAAHkAAAABAAAAFAAAABAAGAAUAAAAEAAMAAgABAAQAAAA"
    "FAAAACwAAABsAAAAfAAAAJwAAADQ////CAAAAAwAAAABAAAAAAAAAAEAAAAAAIA/AQAAAAQAAADM////EAAAAAAAAAEIAAwACAAE"
    "AAgAAAAIAAAADAAAAAEAAAAAAABAAgAAAAAAAAAAAAA/CAAMAAsABAAIAAAADAAAAAAAAAEEAAQABAAAAAIAAAAUAAAABAAAAAQA"
    "AAB0aW1lAAAAAAUAAABiYXRjaAAAAAEAAAB4AAAAAwAAADEuMgARAAAAV2hhdCBhIHdyaXN0IGRvZXMAAAAHAAAAbW90aW9ucwA="
)
READ = {
    "name": "motions",
    "description": "What a wrist does",
    "version": "1.2",
    "subgraphs": [
        {
            "inputs": [
                {"name": "x", "process_units": [{"type": 1, "options": {"mean": [0.0, 0.5], "std": [2.0]}}]}
            ],
            "outputs": [
                {
                    "name": "y",
                    "process_units": [{"type": 3}],
                    "files": [{"name": "labels.txt", "type": 2, "locale": "en"}],
                }
            ],
        }
    ],
    "author": "A",
    "license": "MIT",
    "min_parser_version": "1.0.0",
}


def test_metadata_of_another_program():
    assert model_metadata.decoded(FOREIGN) == READ


def test_what_is_written_reads_back():
    assert model_metadata.decoded(model_metadata.encoded(READ)) == READ
    assert model_metadata.decoded(model_metadata.encoded({})) == {}


def test_damage_is_an_error_or_another_text():
    with pytest.raises(ValueError, match="identifier b'M002'"):
        model_metadata.decoded(FOREIGN.replace(b"M001", b"M002"))
    for place in range(len(FOREIGN)):
        for changed in (FOREIGN[:place], FOREIGN[:place] + b"\xff" + FOREIGN[place + 1 :]):
            with contextlib.suppress(ValueError):  # nothing else is raised
                assert isinstance(model_metadata.decoded(changed), dict)
