// AVX2 with fused multiply-add.
#include <cstdint>
#include <cstdlib>

#include "recurrence.h"
#include "threads.h"

#if defined(__x86_64__) && defined(__GNUC__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define KERAS_VRNN_LANES 8
#define KERAS_VRNN_ROWS 6
#define KERAS_VRNN_OUTER_ROWS 4
#include "recurrence_code.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace keras_vrnn {

const Kernels* avx2_kernels() {
  static const Kernels kernels = {"AVX2", forward, backward};
  const bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return supported ? &kernels : nullptr;
}

}  // namespace keras_vrnn

#else

namespace keras_vrnn {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace keras_vrnn

#endif
