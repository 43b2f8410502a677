// The code of `Forward` and `Backward`, written once for vectors of any length.
//
// Included in one file per instruction set, which defines KERAS_VRNN_LANES, the floats of a vector, KERAS_VRNN_ROWS, the
// most rows of a tile of a product, and KERAS_VRNN_OUTER_ROWS, those of a tile of a weight gradient. Standard headers come
// before the instructions are switched on: the linker may choose any copy of an inline function for the whole program.

#include "vectors.h"

#include "products.h"

#include "slices.h"

namespace {

constexpr int64_t kBlockSamples = 256;  // time steps times rows that the backward pass has in flight
constexpr int64_t kLeastRows = 4;       // of a slice: fewer read the weights too often
constexpr int64_t kLeastWork = 200000;  // multiplications of a slice: fewer are done before another thread wakes

// Slices of the batch depend on nothing but shapes and the number of threads, so that sums are the same in every run.
int64_t slices_of(const Shape& shape, int threads) {
  const int64_t work = shape.batch * shape.time * (shape.features + shape.units) * shape.units;
  return most(1, least(least(threads, shape.batch / kLeastRows), work / kLeastWork));
}

struct Memory {
  char* data = nullptr;
  bool reserve(int64_t bytes) {
    data = static_cast<char*>(aligned_alloc(64, most(64, bytes)));
    return data != nullptr;
  }
  ~Memory() { free(data); }
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
};

const float* packed_bias(const Inputs& in, Arena& arena, bool fill) {
  if (!in.bias) return nullptr;
  float* bias = arena.take(padded(in.shape.units));
  if (fill) {
    __builtin_memcpy(bias, in.bias, in.shape.units * sizeof(float));
    for (int64_t i = in.shape.units; i < padded(in.shape.units); ++i) bias[i] = 0;
  }
  return bias;
}

Packed pack_weights(const Inputs& in, Arena& arena, bool forward, bool recurrent, bool kernel, bool fill) {
  const int64_t features = in.shape.features, units = in.shape.units;
  Packed packed{};
  if (forward) {
    float* weights = arena.take((features + units) * padded(units));
    packed.forward = weights;
    packed.bias = packed_bias(in, arena, fill);
    if (fill) {
      const int64_t distance = (features + units) * kPanel;
      pack(weights, distance, in.kernel, features, units, units, 1);
      pack(weights + features * kPanel, distance, in.recurrent_kernel, units, units, units, 1);
    }
  }
  if (recurrent) {
    float* weights = arena.take(units * padded(units));
    packed.recurrent = weights;
    if (fill) pack(weights, units * kPanel, in.recurrent_kernel, units, units, 1, units);
  }
  if (kernel) {
    float* weights = arena.take(units * padded(features));
    packed.kernel = weights;
    if (fill) pack(weights, units * kPanel, in.kernel, units, features, 1, units);
  }
  return packed;
}

template <class Run>
struct Task {
  const Run* run;
  static void call(void* context, int index) { (*static_cast<Task*>(context)->run)(index); }
};

template <class Run>
void in_parallel(int count, int threads, const Run& run) {
  Task<Run> task{&run};
  keras_vrnn::run_in_parallel(count, threads, &Task<Run>::call, &task);
}

template <Activation kActivation>
bool run_forward(const Forward& call, int threads) {
  const Inputs& in = call.in;
  const int64_t batch = in.shape.batch, count = slices_of(in.shape, threads), rows = parts(batch, count);
  int64_t block = most(1, least(kBlockSamples / 4 / most(1, rows), in.shape.time));
  if (call.starts)
    while (kLongBlock % block) --block;
  Arena size(nullptr);
  const Packed none = pack_weights(in, size, true, false, false, false);
  const int64_t shared = size.used();
  Slice(in, none, 0, rows, block, size);
  const int64_t each = size.used() - shared;
  Memory memory;
  if (!memory.reserve(shared + count * each)) return false;
  Arena arena(memory.data);
  const Packed packed = pack_weights(in, arena, true, false, false, true);
  in_parallel(static_cast<int>(count), threads, [&](int index) {
    const int64_t first = batch * index / count, last = batch * (index + 1) / count;
    Arena own(memory.data + shared + index * each);
    forward_slice<kActivation>(call, Slice(in, packed, first, last - first, block, own), block);
  });
  return true;
}

// to = Σ over slices of their sums, in a fixed order. The sums of a slice lie `distance` behind those of the one before.
void add_slices(float* to, int64_t rows, int64_t columns, const Panels& first, int64_t slices, int64_t distance) {
  for (int64_t slice = 1; slice < slices; ++slice)
    for (int64_t i = 0; i < first.floats; i += kLanes)
      store(first.data + i, load(first.data + i) + load(first.data + slice * distance + i));
  copy_out(to, columns, first, 0, rows, columns);
}

template <Activation kActivation>
bool run_backward(const Backward& call, int threads) {
  const Inputs& in = call.in;
  const int64_t batch = in.shape.batch, count = slices_of(in.shape, threads), rows = parts(batch, count);
  const int64_t wanted = call.starts ? kLongBlock : kBlockSamples / most(1, rows);
  const int64_t block = most(1, least(wanted, in.shape.time));
  const bool again = call.starts != nullptr, inputs = call.dx != nullptr;
  Arena size(nullptr);
  const Packed none = pack_weights(in, size, again, true, inputs, false);
  const int64_t shared = size.used();
  Gradients(call, rows, block, size);
  Slice(in, none, 0, rows, block, size);
  const int64_t each = size.used() - shared;
  Memory memory;
  if (!memory.reserve(shared + count * each)) return false;
  Arena arena(memory.data);
  const Packed packed = pack_weights(in, arena, again, true, inputs, true);
  Gradients first_slice;
  in_parallel(static_cast<int>(count), threads, [&](int index) {
    const int64_t first = batch * index / count, last = batch * (index + 1) / count;
    Arena own(memory.data + shared + index * each);
    const Gradients gradients(call, rows, block, own);
    const Slice slice(in, packed, first, last - first, block, own);
    if (index == 0) first_slice = gradients;
    backward_slice<kActivation>(call, slice, gradients, block);
  });
  const int64_t distance = each / static_cast<int64_t>(sizeof(float));
  add_slices(call.d_kernel, in.shape.features, in.shape.units, first_slice.d_kernel, count, distance);
  add_slices(call.d_recurrent_kernel, in.shape.units, in.shape.units, first_slice.d_recurrent, count, distance);
  if (call.d_bias) add_slices(call.d_bias, 1, in.shape.units, first_slice.d_bias, count, distance);
  return true;
}

// Runs `run` with the activation as a type, so that the compiler writes each of them into the loops.
template <Activation kActivation>
struct Chosen {
  static constexpr Activation activation = kActivation;
};

template <class Run>
bool with(Activation activation, const Run& run) {
  switch (activation) {
    case Activation::kTanh:
      return run(Chosen<Activation::kTanh>());
    case Activation::kRelu:
      return run(Chosen<Activation::kRelu>());
    case Activation::kSigmoid:
      return run(Chosen<Activation::kSigmoid>());
    default:
      return run(Chosen<Activation::kLinear>());
  }
}

bool forward(const Forward& call, int threads) {
  return with(call.in.activation,
              [&](auto chosen) { return run_forward<decltype(chosen)::activation>(call, threads); });
}

bool backward(const Backward& call, int threads) {
  return with(call.in.activation,
              [&](auto chosen) { return run_backward<decltype(chosen)::activation>(call, threads); });
}

}  // namespace
