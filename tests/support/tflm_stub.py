"""Headers that stand for TFLite Micro's where it can't be had, around a model whose outputs are known.

TFLite Micro comes as sources, without a package that holds its headers. The stub computes, in integers,

    y = x + h        h = h + x

and lets the output lie in the memory of the state's input, as TFLite Micro's planner may.
"""

_COMMON = """
#pragma once
#include <cstddef>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
#define TF_LITE_ENSURE_STATUS(a) do { if ((a) != kTfLiteOk) return kTfLiteError; } while (0)
union TfLitePtrUnion { void* data; };
struct TfLiteTensor { TfLitePtrUnion data; };
"""

_INTERPRETER = """
#pragma once
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
namespace tflite {
class MicroInterpreter {
 public:
  template <class R>
  MicroInterpreter(const Model*, const R& resolver, unsigned char* arena, std::size_t) : added_(&resolver.added),
      x_(reinterpret_cast<TYPE*>(arena)), h_(x_ + SIZE), out_(h_ + SIZE) {
    inputs_[0].data.data = x_; inputs_[1].data.data = h_;
    outputs_[0].data.data = h_;  // the memory of an input is used again
    outputs_[1].data.data = out_;
  }
  TfLiteStatus AllocateTensors() { return *added_ == OPERATORS ? kTfLiteOk : kTfLiteError; }
  TfLiteTensor* input(std::size_t k) { return &inputs_[k]; }
  TfLiteTensor* output(std::size_t k) { return &outputs_[k]; }
  TfLiteStatus Invoke() {
    for (int n = 0; n < SIZE; ++n) { const TYPE sum = x_[n] + h_[n]; out_[n] = sum; h_[n] = sum; x_[n] = 99; }
    return kTfLiteOk;
  }
 private:
  const int* added_;
  TYPE *x_, *h_, *out_;
  TfLiteTensor inputs_[2], outputs_[2];
};
}
"""

_RESOLVER = """
#pragma once
#include "tensorflow/lite/c/common.h"
namespace tflite {
template <unsigned n> struct MicroMutableOpResolver {
  int added = 0;
METHODS
};
}
"""

_SCHEMA = """
#pragma once
namespace tflite { struct Model; inline const Model* GetModel(const void* data) { return (const Model*)data; } }
"""


def write(folder, methods, dtype, size):
    """Writes the headers.

    Args:
        folder: where to; it becomes an include folder.
        methods: the resolver's methods, all of which a program must call.
        dtype: C++ type of input, output and state.
        size: how many elements each of them has.
    """
    lines = [
        f"  TfLiteStatus {m}() {{ ++added; return added <= int(n) ? kTfLiteOk : kTfLiteError; }}"
        for m in methods
    ]
    interpreter = _INTERPRETER.replace("OPERATORS", str(len(methods)))
    headers = {
        "c/common.h": _COMMON,
        "micro/micro_mutable_op_resolver.h": _RESOLVER.replace("METHODS", "\n".join(lines)),
        "micro/micro_interpreter.h": interpreter.replace("TYPE", dtype).replace("SIZE", str(size)),
        "schema/schema_generated.h": _SCHEMA,
    }
    for name, text in headers.items():
        path = folder / "tensorflow" / "lite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
