// One call of the recurrence or of its gradient, written once for every library that calls it.
//
// Inputs, in this order: x, state, W, R, b, mask, r; for the gradient also what the forward pass kept, dh_T, dh. An array
// without any number stands for an input that is not given, or an output that is not wanted.
//
// A `Context` is the library's side: ok() and fail(code, message), of which the first counts; rank(input),
// size(input, axis) and numbers<T>(input); output(index, shape), null where it has no numbers or is not wanted.
#pragma once

#include <cstring>
#include <initializer_list>

#include "recurrence.h"

namespace keras_vrnn {

// Those of Abseil, which TensorFlow and XLA share.
enum class Code : int { kInvalidArgument = 3, kResourceExhausted = 8 };

struct Attributes {
  int64_t activation = 0;
  int64_t keep = 0;  // what the forward pass returns of all steps: nothing, what the gradient needs, or h of all steps
  int64_t threads = 1;
  int64_t instructions = 0;
  unsigned char reverse = 0;
  unsigned char inputs = 0;  // whether the gradient returns dx instead of dz
};

// Null, or what is wrong with them.
inline const char* fault(const Attributes& attributes) {
  if (attributes.activation < 0 || attributes.activation > 3)
    return "`activation` of the recurrence is not one of 0 to 3";
  if (!kernels(static_cast<int>(attributes.instructions)))
    return "this processor lacks the `instructions` of the recurrence";
  return nullptr;
}

template <class Context>
int64_t dimension(Context& context, int index, int axis, int rank) {
  const bool right = context.rank(index) == rank;
  if (!right) context.fail(Code::kInvalidArgument, "an input of the recurrence has a wrong rank");
  return right && context.ok() ? context.size(index, axis) : 0;
}

// The numbers of an input of this shape; null for one that is not given.
template <class T, class Context>
const T* numbers(Context& context, int index, std::initializer_list<int64_t> shape) {
  const int rank = context.rank(index);
  if (!context.ok()) return nullptr;
  bool empty = false, equal = rank == static_cast<int>(shape.size());
  for (int axis = 0; axis < rank; ++axis) empty = empty || context.size(index, axis) == 0;
  if (empty) return nullptr;
  int axis = 0;
  for (int64_t size : shape) equal = equal && context.size(index, axis++) == size;
  if (!equal)
    context.fail(Code::kInvalidArgument, "the shapes of the inputs of the recurrence do not belong together");
  return context.ok() ? context.template numbers<T>(index) : nullptr;
}

template <class Context>
Inputs inputs_of(Context& context, const Attributes& attributes) {
  Inputs in{};
  in.shape = {dimension(context, 0, 0, 3), dimension(context, 0, 1, 3), dimension(context, 0, 2, 3),
              dimension(context, 3, 0, 2)};
  in.activation = static_cast<Activation>(attributes.activation);
  in.reverse = attributes.reverse;
  const Shape& shape = in.shape;
  if (dimension(context, 1, 0, 2) != shape.batch || dimension(context, 1, 1, 2) != shape.units ||
      dimension(context, 2, 0, 2) != shape.features || dimension(context, 2, 1, 2) != shape.units ||
      dimension(context, 3, 1, 2) != shape.units)
    context.fail(Code::kInvalidArgument, "the shapes of the inputs of the recurrence do not belong together");
  in.x = numbers<float>(context, 0, {shape.batch, shape.time, shape.features});
  in.state = numbers<float>(context, 1, {shape.batch, shape.units});
  in.kernel = numbers<float>(context, 2, {shape.features, shape.units});
  in.recurrent_kernel = numbers<float>(context, 3, {shape.units, shape.units});
  in.bias = numbers<float>(context, 4, {shape.units});
  in.mask = numbers<bool>(context, 5, {shape.batch, shape.time});
  in.recurrent_mask = numbers<float>(context, 6, {shape.batch, shape.units});
  return in;
}

// Outputs: h_T, and what is kept of all steps.
template <class Context>
void call_forward(Context& context, const Attributes& attributes) {
  Forward call{};
  call.in = inputs_of(context, attributes);
  const Shape& shape = call.in.shape;
  const bool starts = attributes.keep == 1 && shape.time >= kLong;
  call.last = context.output(0, {shape.batch, shape.units});
  const int64_t kept = attributes.keep == 0 ? 0 : starts ? (shape.time + kLongBlock - 1) / kLongBlock : shape.time;
  float* hidden = context.output(1, {shape.batch, kept, shape.units});
  (starts ? call.starts : call.hidden) = hidden;
  if (!context.ok() || shape.batch == 0 || shape.units == 0) return;
  if (!kernels(static_cast<int>(attributes.instructions))->forward(call, static_cast<int>(attributes.threads)))
    context.fail(Code::kResourceExhausted, "no memory for the recurrence");
}

// Outputs: dz, dx, dh_0, dW, dR, db.
template <class Context>
void call_backward(Context& context, const Attributes& attributes) {
  Backward call{};
  call.in = inputs_of(context, attributes);
  const Shape& shape = call.in.shape;
  const int64_t kept = dimension(context, 7, 1, 3);
  const int64_t blocks = (shape.time + kLongBlock - 1) / kLongBlock;
  const bool starts = kept != shape.time;
  const float* hidden = numbers<float>(context, 7, {shape.batch, starts ? blocks : shape.time, shape.units});
  (starts ? call.starts : call.hidden) = hidden;
  call.d_last = numbers<float>(context, 8, {shape.batch, shape.units});
  call.d_hidden = numbers<float>(context, 9, {shape.batch, shape.time, shape.units});
  call.dz = context.output(0, {attributes.inputs ? 0 : shape.batch, shape.time, shape.units});
  call.dx = context.output(1, {attributes.inputs ? shape.batch : 0, shape.time, shape.features});
  call.d_state = context.output(2, {shape.batch, shape.units});
  call.d_kernel = context.output(3, {shape.features, shape.units});
  call.d_recurrent_kernel = context.output(4, {shape.units, shape.units});
  call.d_bias = context.output(5, {call.in.bias ? shape.units : 0});
  if (!context.ok() || shape.units == 0) return;
  if (shape.batch == 0) {
    if (call.d_kernel) std::memset(call.d_kernel, 0, shape.features * shape.units * sizeof(float));
    std::memset(call.d_recurrent_kernel, 0, shape.units * shape.units * sizeof(float));
    if (call.d_bias) std::memset(call.d_bias, 0, shape.units * sizeof(float));
    return;
  }
  if (!kernels(static_cast<int>(attributes.instructions))->backward(call, static_cast<int>(attributes.threads)))
    context.fail(Code::kResourceExhausted, "no memory for the gradient of the recurrence");
}

}  // namespace keras_vrnn
