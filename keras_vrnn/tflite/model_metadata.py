"""TFLite's own format of a model's metadata: a flatbuffer with the identifier M001, in bytes and in plain objects.

    the schema: metadata_schema.fbs of tflite-support, version 1.1.0, of which this is what a card needs

A table is a dictionary, a vector a list; what is absent is left out. Tools such as Netron and MediaPipe read it.
"""

from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

IDENTIFIER = b"M001"
# AssociatedFileType
DESCRIPTIONS, AXIS_LABELS = 1, 2
# ProcessUnitOptions
NORMALIZATION = 1

# Table -> its fields in the order of the schema: a name, and "text", "byte", "floats", a table, or [a table].
_FIELDS: dict[str, dict[str, Any]] = {
    "Model": {
        "name": "text",
        "description": "text",
        "version": "text",
        "subgraphs": ["Subgraph"],
        "author": "text",
        "license": "text",
        "files": ["File"],
        "min_parser_version": "text",
    },
    "Subgraph": {"name": "text", "description": "text", "inputs": ["Tensor"], "outputs": ["Tensor"]},
    "Tensor": {
        "name": "text",
        "description": "text",
        "dimension_names": None,
        "content": None,
        "process_units": ["Unit"],
        "stats": None,
        "files": ["File"],
    },
    "File": {"name": "text", "description": "text", "type": "byte", "locale": "text"},
    "Unit": {"type": "byte", "options": "Normalization"},  # a union: only with type NORMALIZATION
    "Normalization": {"mean": "floats", "std": "floats"},
}
_OFFSET_BYTES = 4


def encoded(model: dict) -> bytes:
    """Returns the bytes of a model's metadata."""
    builder = flatbuffers.Builder(256)
    builder.Finish(_written(builder, "Model", model), IDENTIFIER)
    return bytes(builder.Output())


def _written(builder, table, values):
    kinds = _FIELDS[table]
    places = {
        name: value if kinds[name] == "byte" else _part(builder, kinds[name], value)
        for name, value in values.items()
    }
    builder.StartObject(len(kinds))
    for slot, name in enumerate(kinds):
        if name in places and kinds[name] == "byte":
            builder.PrependInt8Slot(slot, places[name], 0)
        elif name in places:
            builder.PrependUOffsetTRelativeSlot(slot, places[name], 0)
    return builder.EndObject()


def _part(builder, kind, value):
    if kind == "text":
        return builder.CreateString(value)
    if kind == "floats":
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    if isinstance(kind, str):
        return _written(builder, kind, value)
    items = [_written(builder, kind[0], item) for item in value]
    builder.StartVector(_OFFSET_BYTES, len(items), _OFFSET_BYTES)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def decoded(content: bytes) -> dict:
    """Returns the metadata in bytes.

    Raises:
        ValueError: they are not metadata, or they are damaged.
    """
    if content[4:8] != IDENTIFIER:
        raise ValueError(f"its metadata has the identifier {content[4:8]!r} instead of {IDENTIFIER!r}")
    try:
        start = int.from_bytes(content[:_OFFSET_BYTES], "little")
        return _read(Table(bytearray(content), start), "Model")
    except Exception as error:  # offsets into nothing raise many kinds of errors
        raise ValueError(f"its metadata is damaged: {error or type(error).__name__}") from error


def _read(table, name):
    made = {}
    for slot, (field, kind) in enumerate(_FIELDS[name].items()):
        offset = table.Offset(4 + 2 * slot)  # behind the sizes of the list of offsets and of the table
        if offset == 0 or kind is None:
            continue
        place = table.Pos + offset
        if name == "Unit" and field == "options" and made.get("type") != NORMALIZATION:
            continue
        if kind == "byte":
            made[field] = table.Get(number_types.Int8Flags, place)
        elif kind == "text":
            made[field] = table.String(place).decode()
        elif kind == "floats":
            made[field] = table.GetVectorAsNumpy(number_types.Float32Flags, offset).tolist()
        elif isinstance(kind, str):
            made[field] = _read(Table(table.Bytes, table.Indirect(place)), kind)
        else:
            first, count = table.Vector(offset), table.VectorLen(offset)
            made[field] = [
                _read(Table(table.Bytes, table.Indirect(first + _OFFSET_BYTES * k)), kind[0])
                for k in range(count)
            ]
    return made
