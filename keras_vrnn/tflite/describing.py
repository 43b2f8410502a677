"""Cards inside `.tflite` files, in the form of TFLite's metadata.

    name, version, description, author, license    fields of the metadata
    mean, std                                      normalization units of an input
    features, classes                              label files of an input or output, one name a line
    training_data, figures                         files of the model, text and JSON

The files lie in a ZIP archive behind the model, uncompressed, as TFLite's tools put them: `unzip model.tflite` lists
them. Interpreters ignore both. Needs NumPy and what ai-edge-litert installs.
"""

import dataclasses
import io
import json
import os
import zipfile
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn import _checks as checks
from keras_vrnn import _files
from keras_vrnn.tflite import digest, model_metadata
from keras_vrnn.tflite.card import Card
from keras_vrnn.tflite.model_metadata import AXIS_LABELS, DESCRIPTIONS, NORMALIZATION
from keras_vrnn.tflite.packing import pack
from keras_vrnn.tflite.reading import LENGTH, edge_names, indices, read, state_pairs, text, timed_names

ENTRY = "TFLITE_METADATA"
_PLAIN = ("name", "version", "description", "author", "license")
_TRAINING_DATA, _FIGURES = "training_data.txt", "figures.json"
_PARSER = "1.0.0"  # the oldest version of the schema that has all these fields
# The time of every file in the archive, so that equal cards give equal bytes: the first that ZIP can express.
_TIME = (1980, 1, 1, 0, 0, 0)


def describe(path: str | os.PathLike[str], card: Card | None = None, **changes: Any) -> Card:
    """Puts a card into a `.tflite` file, or changes the one that it has.

    The rest of the file stays as it is, and a file of `export` gets a new digest.

    ```python
    report = kv.tflite.verify(model, "model.tflite", x_test, y_test)
    kv.tflite.describe("model.tflite", version="1.1", figures=report.figures)
    ```

    Args:
        path: the file.
        card: the card; None for the one in the file, or an empty one.
        **changes: fields of `Card` to change in it.

    Returns:
        The card as the file now has it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a TFLite model or is damaged, the card does not fit its inputs and outputs, or another
            program wrote metadata into it that would be lost.
        TypeError: there is no such field.
    """
    content, model = read(path)
    if card is not None and not isinstance(card, Card):
        raise checks.refused("card", "be a kv.tflite.Card", card)
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise ValueError(
            f"`path` must be a file of less than 2 GB. Received: path={os.fspath(path)!r}, whose weights lie behind "
            "the model."
        )
    kept = card_of(content, model) if _has_metadata(model) else Card()
    made = fitted(model, dataclasses.replace(kept if card is None else card, **changes))
    if _has_metadata(model) and attached(content, kept) != content:
        raise ValueError(
            f"`path` must be a file whose metadata kv.tflite.describe wrote. Received: path={os.fspath(path)!r}, whose "
            "metadata another program wrote; what a card does not have would be lost."
        )
    _files.check_writable(path, overwrite=True)
    with _files.replacing(path) as temporary:
        temporary.write_bytes(attached(content, made))
    return made


def fitted(model, card):
    """Returns a card with dictionaries, after comparing it with a `ModelT`; see `Card.fitted`."""
    names_in, names_out = edge_names(model)
    states = state_pairs(names_in, names_out)
    hidden = {*states, *([LENGTH] if timed_names(model) else [])}
    main = model.subgraphs[0]

    def lengths(names, tensors, hidden):
        shapes = {name: indices(main.tensors[t].shape) for name, t in zip(names, tensors, strict=True)}
        return {name: shape[-1] if shape else 1 for name, shape in shapes.items() if name not in hidden}

    return card.fitted(
        lengths(names_in, indices(main.inputs), hidden),
        lengths(names_out, indices(main.outputs), states.values()),
    )


def attached(content: bytes, card: Card | None) -> bytes:
    """Returns the bytes of a file with a card instead of the one that it has; None takes that away.

    Args:
        content: the file.
        card: a card that `fitted` made.
    """
    model = schema.ModelT.InitFromPackedBuf(content)
    kept = [entry for entry in model.metadata or [] if text(entry.name) != ENTRY]
    has_card = len(kept) < len(model.metadata or [])
    if card is None and not has_card:
        return content
    if has_card:
        _remove_buffer(model, next(e.buffer for e in model.metadata if text(e.name) == ENTRY))
    model.metadata = kept
    if card is None:
        return digest.sealed(pack(model))
    packed, files = _with_metadata(model, card)
    return digest.sealed(packed + _archive(len(packed), files))


def _with_metadata(model, card):
    """Returns the bytes of a model with the metadata of a card, and the files: name -> text."""
    metadata, files = _metadata(model, card)
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, len(model.buffers)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(model_metadata.encoded(metadata), np.uint8)
    model.buffers.append(buffer)
    model.metadata.append(entry)
    return pack(model), files


def card_of(content: bytes, model: Any = None) -> Card | None:
    """Returns the card of a file; None if it has no metadata.

    Args:
        content: its bytes.
        model: its `ModelT`, where it has been read already.

    Raises:
        ValueError: the metadata, which another program wrote, is damaged or says what a card refuses.
    """
    model = schema.ModelT.InitFromPackedBuf(content) if model is None else model
    entries = [entry for entry in model.metadata or [] if text(entry.name) == ENTRY]
    if not entries:
        return None
    held = model.buffers[entries[0].buffer].data
    metadata = model_metadata.decoded(b"" if held is None else bytes(held))
    try:
        files = _Files(content)
        names_in, names_out = edge_names(model)
        main = (metadata.get("subgraphs") or [{}])[0]
        # The tensors come in the order of the graph; their number is the same.
        given = dict(zip(names_in, main.get("inputs", []), strict=False))
        made = dict(zip(names_out, main.get("outputs", []), strict=False))
        normalizations = {
            name: unit["options"]
            for name, tensor in given.items()
            for unit in tensor.get("process_units", [])
            if "options" in unit
        }
        described = {file.get("name") for file in metadata.get("files", [])}
        return Card(
            **{name: metadata[name] for name in _PLAIN if name in metadata},
            training_data=files.text(_TRAINING_DATA) if _TRAINING_DATA in described else "",
            features=_labels(given, files),
            classes=_labels(made, files),
            mean={name: unit.get("mean") or [0.0] for name, unit in normalizations.items()},
            std={name: unit.get("std") or [1.0] for name, unit in normalizations.items()},
            figures=json.loads(files.text(_FIGURES)) if _FIGURES in described else {},
        )
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"its metadata refers to files that can't be read: {error}") from error


def _has_metadata(model):
    return any(text(entry.name) == ENTRY for entry in model.metadata or [])


def _remove_buffer(model, index):
    """Takes a buffer out of a model."""
    del model.buffers[index]
    holders = [tensor for graph in model.subgraphs for tensor in graph.tensors or []] + list(model.metadata)
    for holder in holders:
        holder.buffer -= holder.buffer > index


def _metadata(model, card):
    """Returns a card as TFLite's metadata, and its files: name -> text."""
    files: dict[str, str] = {}

    def tensors(names, kind, labels, mean):
        made = []
        for number, name in enumerate(names):
            tensor: dict[str, Any] = {"name": name}
            if name in mean:
                options = {"mean": mean[name], "std": card.std[name]}
                tensor["process_units"] = [{"type": NORMALIZATION, "options": options}]
            if name in labels:
                file = f"{kind}_{number}.txt"
                files[file] = "".join(f"{label}\n" for label in labels[name])
                tensor["files"] = [{"name": file, "type": AXIS_LABELS}]
            made.append(tensor)
        return made

    names_in, names_out = edge_names(model)
    main = {
        "inputs": tensors(names_in, "features", card.features, card.mean),
        "outputs": tensors(names_out, "classes", card.classes, {}),
    }
    described = {}
    if card.training_data:
        described[_TRAINING_DATA] = card.training_data
    if card.figures:
        described[_FIGURES] = json.dumps(card.figures, indent=2, ensure_ascii=False)
    metadata = {name: getattr(card, name) for name in _PLAIN if getattr(card, name)}
    metadata |= {"subgraphs": [main], "min_parser_version": _PARSER}
    if described:
        metadata["files"] = [{"name": name, "type": DESCRIPTIONS} for name in described]
    return metadata, files | described


def _archive(start, files):
    """Returns the ZIP archive of files; `start` is where it will lie, from which its offsets count."""
    if not files:
        return b""
    stream = io.BytesIO(bytes(start))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), content.encode())
    return stream.getvalue()[start:]


class _Files:
    """The files behind a model, opened when one is read."""

    def __init__(self, content):
        self._content, self._archive = content, None

    def text(self, name):
        if self._archive is None:
            self._archive = zipfile.ZipFile(io.BytesIO(self._content))
        return self._archive.read(name).decode()


def _labels(tensors, files):
    made = {}
    for name, tensor in tensors.items():
        for file in tensor.get("files", []):
            if file.get("type") == AXIS_LABELS and name not in made:
                made[name] = files.text(file["name"]).removesuffix("\n").split("\n")
    return made


def archive_bytes(content: bytes, model: Any) -> int:
    """Returns the size of the archive behind a model; 0 if there is none."""
    if not _has_metadata(model):
        return 0
    try:
        places = [info.header_offset for info in zipfile.ZipFile(io.BytesIO(content)).infolist()]
    except zipfile.BadZipFile:
        return 0
    return len(content) - min(places, default=len(content))
