// AVX-512 with fused multiply-add.
#include <cstdint>
#include <cstdlib>

#include "recurrence.h"
#include "threads.h"

#if defined(__x86_64__) && defined(__GNUC__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#define KERAS_VRNN_LANES 16
#define KERAS_VRNN_ROWS 12
#define KERAS_VRNN_OUTER_ROWS 8
#include "recurrence_code.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace keras_vrnn {

const Kernels* avx512_kernels() {
  static const Kernels kernels = {"AVX-512", forward, backward};
  const bool supported = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return supported ? &kernels : nullptr;
}

}  // namespace keras_vrnn

#else

namespace keras_vrnn {
const Kernels* avx512_kernels() { return nullptr; }
}  // namespace keras_vrnn

#endif
