"""Writes a `.tflite` file as C++ sources for TFLite Micro: bytes, tensor formats and operators.

    model_data.h, .cc   the file as an aligned array
    model_tensors.h     arena size, tensors with scale and zero point, quantize and dequantize; without TFLite Micro
    model_ops.h         an op resolver for exactly the operators of the file

`export/micro/` holds a program that uses them.
"""

import contextlib
import math
import os
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_vrnn import _checks as checks
from keras_vrnn import _files
from keras_vrnn._version import __version__
from keras_vrnn.tflite import describing, digest
from keras_vrnn.tflite.micro import identifiers
from keras_vrnn.tflite.micro import interpreter as micro
from keras_vrnn.tflite.micro import operators as micro_operators
from keras_vrnn.tflite.reading import edge_names, indices, operator_name, read, state_pairs, text

# TFLite Micro requires the model and the arena to be aligned so, in bytes.
ALIGNMENT = 16
# Added to the smallest arena that ran: kernels of another version or for another processor plan a little more.
MARGIN = 0.1
_BYTES_PER_LINE = 16
_ENDINGS = ("_data.h", "_data.cc", "_tensors.h", "_ops.h")
_TYPES = {
    schema.TensorType.INT8: "int8_t",
    schema.TensorType.INT16: "int16_t",
    schema.TensorType.INT32: "int32_t",
    schema.TensorType.FLOAT32: "float",
    schema.TensorType.BOOL: "bool",
}


def write_c_array(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str = "model",
    arena: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes a `.tflite` file as C++ sources for TFLite Micro.

    Args:
        path: the `.tflite` file.
        folder: where to write the sources; it is created.
        name: the name of their namespace, with which their file names and the array's name begin, too.
        arena: bytes of working memory; None for the smallest with which TFLite Micro ran the file on this machine,
            plus a tenth (extra `micro`).
        overwrite: replace sources that exist.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: there is no file `path`.
        ValueError: it is not a TFLite model, TFLite Micro can't run it, or the name or the arena can't be used.
        ImportError: `arena` is None, but the package tflite-micro is not installed.
        FileExistsError, OSError: a source exists, or can't be written.
    """
    check_request(folder, name, arena, overwrite)
    content, model = read(path)
    if digest.is_intact(content):
        content = describing.attached(content, None)  # a card would take flash
    obstacles = micro_operators.obstacles(model)
    if obstacles:
        raise ValueError(
            f"`path` must be a file that TFLite Micro can run. Received: path={os.fspath(path)!r}: "
            f"{'; '.join(obstacles)}. Export with quantization='int8', 'int8x4' or 'int16x8'."
        )
    arena_size, origin = (arena, "As requested") if arena is not None else _measured_arena(path)
    origin_line = f"// Written by keras-vrnn {__version__} from {_printable(Path(path).name)}."
    texts = (
        _data_header(name, origin_line),
        _data_source(name, origin_line, content),
        _tensors_header(name, origin_line, model, arena_size, origin),
        _ops_header(name, origin_line, model),
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{name}{ending}" for ending in _ENDINGS]
    with contextlib.ExitStack() as stack:  # all of them or, on a full disk, none
        for target, source in zip(targets, texts, strict=True):
            stack.enter_context(_files.replacing(target)).write_text(source, encoding="utf-8")
    return targets


def check_request(folder, name, arena, overwrite, argument="folder"):
    """Raises, before any work, what `write_c_array` would raise whatever the file holds; arguments as there."""
    identifiers.check(name)
    if arena is None:
        micro.require()
    else:
        checks.positive_int("arena", arena)
    targets = [Path(folder) / f"{name}{ending}" for ending in _ENDINGS]
    _files.check_targets(folder, targets, overwrite, argument)


def _measured_arena(path):
    """Returns the arena's size and where it comes from."""
    tried = micro.attempt(path, smallest=True)
    if not tried.runs:
        raise micro.refusal(path, tried.reason)
    smallest = tried.arena.smallest
    size = -(-int(smallest * (1 + MARGIN)) // ALIGNMENT) * ALIGNMENT
    return (
        size,
        f"{smallest} ran with TFLite Micro's reference kernels on a 64-bit machine; this is {MARGIN:.0%} more",
    )


def _guarded(name, origin, body):
    guard = f"{name}_H_".upper()
    return f"{origin}\n#ifndef {guard}\n#define {guard}\n\n{body}\n#endif  // {guard}\n"


def _data_header(name, origin):
    body = f"extern const unsigned char {name}_data[];\nextern const unsigned int {name}_data_size;\n"
    return _guarded(f"{name}_data", origin, body)


def _data_source(name, origin, content):
    rows = [content[k : k + _BYTES_PER_LINE] for k in range(0, len(content), _BYTES_PER_LINE)]
    table = "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    return (
        f'{origin}\n#include "{name}_data.h"\n\n'
        f"alignas({ALIGNMENT}) const unsigned char {name}_data[] = {{\n{table}\n}};\n"
        f"const unsigned int {name}_data_size = {len(content)};\n"
    )


_TENSORS = """\
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace {name} {{

// {arena_origin}.
// A 32-bit processor needs less for pointers. Optimized kernels may ask for more: then AllocateTensors fails or
// crashes.
constexpr std::size_t kArenaSize = {arena};

// real = scale * (integer - zero_point). Scale 0: the tensor holds real numbers or ids as they are.
struct Tensor {{
  int index;  // for interpreter.input(index) or output(index)
  int size;   // elements
  float scale;
  int zero_point;
}};

struct State {{
  Tensor in;
  Tensor out;  // in the same format, so what comes out goes in again as it is
}};

{tensors}
// Variables that the file keeps inside the interpreter (state="internal").
constexpr int kResourceVariables = {variables};

// Returns what a tensor of type T holds for a real number: rounded half to even, and saturated.
template <class T>
T Quantize(float real, const Tensor& tensor) {{
  if (tensor.scale == 0.0f) return static_cast<T>(real);
  const float low = static_cast<float>(std::numeric_limits<T>::min());
  const float high = static_cast<float>(std::numeric_limits<T>::max());
  const float rounded = std::nearbyint(real / tensor.scale) + static_cast<float>(tensor.zero_point);
  return static_cast<T>(rounded < low ? low : rounded > high ? high : rounded);
}}

template <class T>
float Dequantize(T held, const Tensor& tensor) {{
  if (tensor.scale == 0.0f) return static_cast<float>(held);
  return tensor.scale * static_cast<float>(static_cast<int>(held) - tensor.zero_point);
}}

}}  // namespace {name}
"""


def _tensors_header(name, origin, model, arena, arena_origin):
    main, (input_names, output_names) = model.subgraphs[0], edge_names(model)
    inputs, outputs = _edges(main, main.inputs, input_names), _edges(main, main.outputs, output_names)
    pairs = state_pairs(inputs, outputs).items()
    states = [(inputs.pop(source), outputs.pop(target)) for source, target in pairs]
    lines = []
    for kind, edges in (("Input", inputs), ("Output", outputs)):
        lines.append(f"constexpr std::array<Tensor, {len(edges)}> k{kind}s = {{{{")
        lines += [f"    {edge.literal},  // {edge.comment}" for edge in edges.values()]
        lines.append("}};")
        lines += [f"using {kind}{n} = {edge.type};" for n, edge in enumerate(edges.values())]
        lines.append("")
    lines.append(f"constexpr std::array<State, {len(states)}> kStates = {{{{")
    lines += [
        f"    {{{source.literal}, {target.literal}}},  // {source.comment}" for source, target in states
    ]
    lines.append("}};")
    lines.append(f"using StateType = {states[0][0].type if states else 'int8_t'};")
    lines.append(f"constexpr int kLargestState = {max((source.size for source, _ in states), default=0)};")
    body = _TENSORS.format(
        name=name,
        arena=arena,
        arena_origin=arena_origin,
        tensors="\n".join(lines) + "\n",
        variables=_count_variables(model),
    )
    return _guarded(f"{name}_tensors", origin, body)


class _Edge:
    """An input or output of the model as a C++ initializer."""

    def __init__(self, position, label, tensor):
        shape = indices(tensor.shape)
        if tensor.type not in _TYPES:
            raise ValueError(
                f"`path` must be a file with inputs and outputs of {', '.join(_TYPES.values())}. Received another type "
                f"for {label!r}"
            )
        q = tensor.quantization
        quantized = q is not None and q.scale is not None and len(q.scale) == 1
        scale, zero_point = (float(q.scale[0]), int(q.zeroPoint[0])) if quantized else (0.0, 0)
        self.type = _TYPES[tensor.type]
        self.size = math.prod(shape)
        self.literal = f"{{{position}, {self.size}, {_float(scale)}, {zero_point}}}"
        self.comment = f"{_printable(label)} {self.type}{shape}"


def _edges(graph, tensors, names):
    """Returns name -> `_Edge` of the inputs or the outputs."""
    pairs = enumerate(zip(names, indices(tensors), strict=True))
    return {name: _Edge(position, name, graph.tensors[index]) for position, (name, index) in pairs}


def _printable(label):
    """Returns a name that cannot end the line comment that it stands in."""
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in label)


def _float(value):
    """Returns the shortest C++ literal of a float32."""
    digits = repr(np.float32(value).item() if value == 0 else float(str(np.float32(value))))
    return digits + ("f" if any(c in digits for c in ".e") else ".0f")


def _operators(model):
    return sorted({operator_name(model, o) for graph in model.subgraphs for o in graph.operators or []})


def _count_variables(model):
    return len(
        {
            text(operator.builtinOptions.sharedName)
            for graph in model.subgraphs
            for operator in graph.operators or []
            if operator_name(model, operator) == "VAR_HANDLE"
        }
    )


def _ops_header(name, origin, model):
    methods = [micro_operators.RESOLVER_METHODS[operator] for operator in _operators(model)]
    calls = "\n".join(f"  TF_LITE_ENSURE_STATUS(resolver.{method}());" for method in methods)
    body = (
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n\n'
        f"namespace {name} {{\n\n"
        f"using OpResolver = tflite::MicroMutableOpResolver<{len(methods)}>;\n\n"
        f"inline TfLiteStatus RegisterOps(OpResolver& resolver) {{\n{calls}\n  return kTfLiteOk;\n}}\n\n"
        f"}}  // namespace {name}\n"
    )
    return _guarded(f"{name}_ops", origin, body)
