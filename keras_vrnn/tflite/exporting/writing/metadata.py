"""The description and metadata of a model file: what wrote it, and the oldest runtime that can run it."""

import json

from ai_edge_litert import schema_py_generated as schema

from keras_vrnn._version import __version__
from keras_vrnn.tflite import digest
from keras_vrnn.tflite.exporting.writing.flatbuffer import FOUR_BIT_VERSION
from keras_vrnn.tflite.reading import TIMED

_RUNTIME = "min_runtime_version"
_RUNTIME_BYTES = 16  # by convention: the text, padded with zeros

# The TensorFlow release that introduced each operator, in the version written here
# (tensorflow/lite/tools/versioning/runtime_version.cc); operators that are not listed are older.
_SINCE = {
    "ADD": (2, 4),  # int16
    "ASSIGN_VARIABLE": (2, 6),
    "CALL_ONCE": (2, 5),
    "CONCATENATION": (2, 3),
    "DEQUANTIZE": (2, 2),
    "DYNAMIC_UPDATE_SLICE": (2, 9),
    "FILL": (2, 5),
    "FULLY_CONNECTED": (2, 3),
    "LOGISTIC": (2, 3),
    "MUL": (2, 3),
    "QUANTIZE": (2, 7),
    "READ_VARIABLE": (2, 6),
    "REDUCE_ALL": (2, 6),
    "SELECT_V2": (2, 2),
    "SLICE": (2, 4),
    "TANH": (2, 3),
    "VAR_HANDLE": (2, 6),
    "WHILE": (1, 15),
}
_SINCE_FOUR_BIT = (2, 11)  # FULLY_CONNECTED with int4 weights


def write(file, timed=()):
    """Puts description and metadata into a `ModelFile`.

    Args:
        file: the file.
        timed: of a file that takes any number of time steps, the inputs and outputs with a time axis.
    """
    file.model.description = f"keras-vrnn {__version__}"
    entries = {bytes(entry.name).decode(): entry for entry in file.model.metadata or []}
    operators = [operator for graph in file.model.subgraphs for operator in graph.operators]
    needed = max(_SINCE.get(file.operator_name(operator), (1, 14)) for operator in operators)
    codes = [
        file.model.operatorCodes[o.opcodeIndex]
        for o in operators
        if file.operator_name(o) == "FULLY_CONNECTED"
    ]
    if any(code.version >= FOUR_BIT_VERSION for code in codes):
        needed = max(needed, _SINCE_FOUR_BIT)
    if _RUNTIME in entries:  # the stock converter's value for the part that it wrote
        found = bytes(file.model.buffers[entries[_RUNTIME].buffer].data).rstrip(b"\0").decode()
        if found:
            major, minor = map(int, found.split(".")[:2])
            needed = max(needed, (major, minor))
    # The converter's CONVERSION_METADATA is left out, because it describes the stock part alone.
    runtime = f"{needed[0]}.{needed[1]}.0".encode().ljust(_RUNTIME_BYTES, b"\0")
    # `packing.pack` fills in the digest.
    file.model.metadata = [_entry(file, _RUNTIME, runtime), _entry(file, digest.ENTRY, digest.PLACEHOLDER)]
    if timed:
        file.model.metadata.append(_entry(file, TIMED, json.dumps(sorted(timed)).encode()))


def _entry(file, name, content):
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, file.new_buffer(content)
    return entry
