"""What is in a `.tflite` file of any origin: graph, number formats, sizes, and where it runs."""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_vrnn._shown import Shown
from keras_vrnn.tflite import describing, digest
from keras_vrnn.tflite.card import Card
from keras_vrnn.tflite.inspecting.sparsity import zeros
from keras_vrnn.tflite.micro import interpreter as micro
from keras_vrnn.tflite.micro import operators as micro_operators
from keras_vrnn.tflite.reading import (
    TYPE_NAMES,
    constant_bytes,
    indices,
    operator_name,
    read,
    run_subgraphs,
    text,
)
from keras_vrnn.tflite.running.engines import LiteRT

_FLEX = "CUSTOM:Flex"
_SCALES_SHOWN = 1
# Of a matrix: rounding alone makes about 1 % of random int8 weights zero.
_ZEROS_SHOWN = 0.05


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph.

    `scale` holds one number, or one per slice along `axis`; it is empty for a tensor that is not quantized.
    `bytes` is the size of its values in the file: 0 for a tensor that is computed. `zeros` is the share of those values
    that are exactly zero; None for a tensor that is computed, or holds no real numbers.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None
    bytes: int
    zeros: float | None

    def __str__(self):
        line = f"{self.dtype.lower()}{list(self.shape)} {self.name}"
        if len(self.scale) > _SCALES_SHOWN:
            line += f"  {len(self.scale)} scales {min(self.scale):.3g} … {max(self.scale):.3g} on axis {self.axis}"
        elif self.scale:
            line += f"  scale {self.scale[0]:.6g}, zero point {self.zero_point[0]}"
        if self.bytes:
            line += f"  = {self.bytes:,} bytes"
        if len(self.shape) > 1 and self.zeros is not None and self.zeros >= _ZEROS_SHOWN:
            line += f", {100 * self.zeros:.3g} % zeros"
        return line


@dataclass(frozen=True)
class Operator:
    """One operator: its schema name, the tensors it reads (-1: left out) and makes, and the subgraphs it runs."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: tuple[int, ...]


@dataclass(frozen=True)
class Subgraph:
    """A graph of operators; `inputs` and `outputs` are tensor indices."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True, repr=False)
class Inspection(Shown):
    """What is in a `.tflite` file.

    Attributes:
        path, size: the file and its size in bytes.
        intact: whether it agrees with the digest that `export` stored in it; None for a file without one.
        description: the text that its writer put in.
        min_runtime_version: the oldest TensorFlow Lite runtime that can run it, according to the file; "" if it holds
            no such entry.
        signatures: signature -> {"inputs": names, "outputs": names}.
        subgraphs: `Subgraph`s; an interpreter runs the first.
        operators: operator -> how often it occurs in all subgraphs.
        foreign: operators that plain LiteRT does not have: "CUSTOM:Flex…" needs TensorFlow's own kernels.
        litert_reason: why LiteRT can't run the file; "" if it can.
        card: its `Card`; None if it has none.
        card_reason: why its metadata can't be read as a card; "" if it can.
        micro_ready: whether TFLite Micro can run it.
        micro_reasons: why not.
        micro_tried: whether TFLite Micro itself was asked (extra `micro`), or only the known limits of its kernels.
        sizes: bytes of "weights" (constants), "metadata" (description, names, signatures, metadata) and "operators"
            (everything else: tensors and operators). The files of a card are metadata.
    """

    path: Path
    size: int
    intact: bool | None
    description: str
    min_runtime_version: str
    signatures: dict[str, dict[str, list[str]]]
    subgraphs: tuple[Subgraph, ...]
    operators: dict[str, int]
    foreign: tuple[str, ...]
    litert_reason: str
    card: Card | None
    card_reason: str
    micro_ready: bool
    micro_reasons: tuple[str, ...]
    micro_tried: bool
    sizes: dict[str, int]

    @property
    def flex(self) -> bool:
        """Whether it needs TensorFlow's Flex kernels."""
        return any(name.startswith(_FLEX) for name in self.foreign)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as a dictionary for JSON."""
        return asdict(self) | {"path": str(self.path), "flex": self.flex}

    def to_json(self) -> str:
        """Returns everything as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self):
        sizes = ", ".join(f"{part} {count:,}" for part, count in self.sizes.items())
        how = (
            "tried" if self.micro_tried else "by its known limits; pip install 'keras-vrnn[micro]' to try it"
        )
        micro_line = "yes" if self.micro_ready else "no: " + "; ".join(self.micro_reasons)
        lines = [
            f"{self.path}: {self.size:,} bytes ({sizes})",
            f"digest               {'matches' if self.intact else 'none: written or rewritten by another program'}",
            f"description          {self.description}",
            f"min runtime version  {self.min_runtime_version or 'not given'}",
            f"Flex operators       {'yes' if self.flex else 'no'}",
            f"custom operators     {', '.join(self.foreign) or 'none'}",
            f"LiteRT               {'no: ' + self.litert_reason if self.litert_reason else 'yes (tried)'}",
            f"TFLite Micro         {micro_line} ({how})",
        ]
        for key, names in self.signatures.items():
            lines.append(
                f"signature            {key}: {', '.join(names['inputs'])} -> {', '.join(names['outputs'])}"
            )
        if self.card_reason:
            lines.append(f"card                 can't be read: {self.card_reason}")
        if self.card is not None:
            lines += ["", "card", *(f"  {line}" for line in str(self.card).splitlines())]
        for number, graph in enumerate(self.subgraphs):
            lines += ["", *_graph_lines(number, graph)]
        return "\n".join(lines)


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Reads a `.tflite` file of any origin, and tries whether it runs.

    Args:
        path: the file.

    Returns:
        An `Inspection`; print it to read the graph.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a TFLite model, or it is damaged.
    """
    content, model = read(path)
    subgraphs = tuple(_subgraph(content, model, graph) for graph in model.subgraphs)
    operators = Counter(operator.name for graph in subgraphs for operator in graph.operators)
    reasons = micro_operators.obstacles(model)
    tried = not reasons and micro.is_installed()
    if tried:
        attempt = micro.attempt(path)
        reasons = [] if attempt.runs else [attempt.reason]
    card, card_reason = None, ""
    try:
        card = describing.card_of(content, model)
    except ValueError as error:  # another program wrote it
        card_reason = str(error)
    return Inspection(
        path=Path(path),
        size=len(content),
        intact=digest.is_intact(content) or None,
        description=text(model.description),
        min_runtime_version=_metadata(model, "min_runtime_version").rstrip("\0"),
        signatures={
            text(s.signatureKey): {
                "inputs": [text(entry.name) for entry in s.inputs or []],
                "outputs": [text(entry.name) for entry in s.outputs or []],
            }
            for s in model.signatureDefs or []
        },
        subgraphs=subgraphs,
        operators=dict(sorted(operators.items())),
        foreign=tuple(sorted(name for name in operators if name.startswith("CUSTOM"))),
        litert_reason=_litert_reason(path),
        card=card,
        card_reason=card_reason,
        micro_ready=not reasons,
        micro_reasons=tuple(reasons),
        micro_tried=tried,
        sizes=sizes(content, model),
    )


def _litert_reason(path):
    try:
        LiteRT(path)
    except ValueError as error:
        return str(error.__cause__ or error)
    return ""


def sizes(content, model):
    """Returns the bytes of "weights", "metadata" and "operators" (everything else) of a model that was read."""
    constants = {
        tensor.buffer: constant_bytes(model, tensor)
        for graph in model.subgraphs
        for tensor in graph.tensors or []
    }
    entries = [model.buffers[entry.buffer].data for entry in model.metadata or []]
    strings = [model.description, *(entry.name for entry in model.metadata or [])]
    for graph in model.subgraphs:
        strings += [graph.name, *(tensor.name for tensor in graph.tensors or [])]
    for signature in model.signatureDefs or []:
        strings.append(signature.signatureKey)
        strings += [entry.name for entry in [*(signature.inputs or []), *(signature.outputs or [])]]
    weights = sum(constants.values())
    metadata = sum(len(part) for part in [*entries, *strings] if part is not None)
    metadata += describing.archive_bytes(content, model)
    return {"weights": weights, "operators": len(content) - weights - metadata, "metadata": metadata}


def _metadata(model, name):
    """Returns the text of a metadata entry; "" if there is none."""
    for entry in model.metadata or []:
        if text(entry.name) == name and model.buffers[entry.buffer].data is not None:
            return text(bytes(model.buffers[entry.buffer].data))
    return ""


def _subgraph(content, model, graph):
    return Subgraph(
        name=text(graph.name),
        inputs=tuple(indices(graph.inputs)),
        outputs=tuple(indices(graph.outputs)),
        tensors=tuple(_tensor(content, model, n, tensor) for n, tensor in enumerate(graph.tensors or [])),
        operators=tuple(
            Operator(
                operator_name(model, operator),
                tuple(indices(operator.inputs)),
                tuple(indices(operator.outputs)),
                run_subgraphs(operator),
            )
            for operator in graph.operators or []
        ),
    )


def _tensor(content, model, index, tensor):
    quantization = tensor.quantization
    scale = (
        () if quantization is None or quantization.scale is None else tuple(map(float, quantization.scale))
    )
    zero_point = indices(quantization.zeroPoint) if scale else []
    return Tensor(
        index=index,
        name=text(tensor.name),
        shape=tuple(indices(tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape)),
        dtype=TYPE_NAMES[tensor.type],
        scale=scale,
        zero_point=tuple(zero_point) or (0,) * bool(scale),
        axis=int(quantization.quantizedDimension) if len(scale) > 1 else None,
        bytes=constant_bytes(model, tensor),
        zeros=zeros(content, model, tensor),
    )


def _graph_lines(number, graph):
    """Yields the subgraph as text: inputs, constants, operators in running order with their results, outputs."""

    def named(index):
        return "none" if index < 0 else f"%{index}"

    yield f"subgraph {number} {graph.name}".rstrip()
    for index in graph.inputs:
        yield f"  input  %{index}: {graph.tensors[index]}"
    for tensor in graph.tensors:
        if tensor.bytes:
            yield f"  const  %{tensor.index}: {tensor}"
    for operator in graph.operators:
        runs = f" subgraphs {', '.join(map(str, operator.subgraphs))}" if operator.subgraphs else ""
        yield f"  {operator.name}({', '.join(map(named, operator.inputs))}){runs}"
        for index in operator.outputs:
            yield f"    -> %{index}: {graph.tensors[index]}"
    yield f"  output {', '.join(map(named, graph.outputs))}"
