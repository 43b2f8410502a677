// The recurrence of a vanilla RNN and its back-propagation through time, over a slice of the batch.
//
//     h_t = φ(x_t·W + (h_{t-1}∘r)·R + b)                       where mask_t, else h_{t-1}
//     dz_t = dh_t ∘ φ'(z_t),   dh_{t-1} = (dz_t·Rᵀ)∘r + dy_{t-1}   where mask_t, else dz_t = 0 and dh_{t-1} = dh_t + dy_{t-1}
//     dR = Σ (h_{t-1}∘r)ᵀ·dz_t,  dW = Σ x_tᵀ·dz_t,  db = Σ dz_t,  dx_t = dz_t·Wᵀ
//
// Row-major float32 arrays: x (batch, time, features), W (features, units), R (units, units), b (units,),
// r and states (batch, units), mask (batch, time). Null pointers stand for what is not given or not wanted.
#pragma once

#include <cstdint>

namespace keras_vrnn {

enum class Activation : int { kTanh = 0, kRelu = 1, kSigmoid = 2, kLinear = 3 };

// From this number of steps on, training keeps only the state before each block of steps and computes the rest again.
constexpr int64_t kLong = 1024;
constexpr int64_t kLongBlock = 64;

struct Shape {
  int64_t batch, time, features, units;
};

struct Inputs {
  Shape shape;
  Activation activation;
  bool reverse;  // from the last step to the first
  const float* x;
  const float* state;
  const float* kernel;
  const float* recurrent_kernel;
  const float* bias;
  const bool* mask;
  const float* recurrent_mask;
};

struct Forward {
  Inputs in;
  float* last;    // (batch, units)
  float* hidden;  // h of all steps in time order, (batch, time, units)
  float* starts;  // h before each block of kLongBlock steps, in the order of processing, (batch, blocks, units)
};

struct Backward {
  Inputs in;
  const float* hidden;  // one of these two, as `Forward` wrote it
  const float* starts;
  const float* d_last;    // ∂L/∂h_T on top of d_hidden, (batch, units)
  const float* d_hidden;  // (batch, time, units)
  float* dz;              // (batch, time, units)
  float* dx;              // (batch, time, features)
  float* d_state;         // (batch, units)
  float* d_kernel;
  float* d_recurrent_kernel;
  float* d_bias;
};

// Code for one instruction set. Both functions return false, having changed nothing, if memory runs out.
struct Kernels {
  const char* name;
  bool (*forward)(const Forward&, int threads);
  bool (*backward)(const Backward&, int threads);
};

const Kernels* avx512_kernels();  // null where the compiler or the processor lacks the instructions
const Kernels* avx2_kernels();
const Kernels* portable_kernels();

// `index` 0 is the best of this machine; 1, 2 and 3 are AVX-512, AVX2 and portable. Null where there is none.
const Kernels* kernels(int index);

}  // namespace keras_vrnn
