// Vectors of kLanes floats, and the activations on them. Included by recurrence_code.h, once per instruction set.

namespace {

using keras_vrnn::Activation;

constexpr int kLanes = KERAS_VRNN_LANES;

#define INLINE inline __attribute__((always_inline))

typedef float Vector __attribute__((vector_size(kLanes * 4)));
typedef int32_t Integers __attribute__((vector_size(kLanes * 4)));

INLINE Vector load(const float* from) {
  Vector value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

INLINE void store(float* to, Vector value) { __builtin_memcpy(to, &value, sizeof value); }

INLINE void store_first(float* to, Vector value, int64_t count) {
  if (count >= kLanes) {
    store(to, value);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = value[i];
  }
}

INLINE Vector load_first(const float* from, int64_t count) {
  if (count >= kLanes) return load(from);
  Vector value = {};
  for (int64_t i = 0; i < count; ++i) value[i] = from[i];
  return value;
}

INLINE Vector filled(float number) { return Vector{} + number; }

// tanh(z) = z·p(z²)/q(z²) with |relative error| < 2.1e-8 before rounding: a fit by weighted least squares that equalizes
// the error. From 9.02 on tanh rounds to 1. Comparisons are false for NaN, which so passes through.
INLINE Vector tanh_of(Vector z) {
  const Vector limit = filled(9.02f), one = filled(1.0f);
  z = z > limit ? limit : z;
  z = z < -limit ? -limit : z;
  const Vector u = z * z;
  Vector p = u * 1.3319125e-8f + 2.0583525e-5f;
  Vector q = u * 7.762043e-7f + 3.2830967e-4f;
  p = p * u + 3.4940374e-3f;
  q = q * u + 2.5871084e-2f;
  p = p * u + 1.337972e-1f;
  q = q * u + 4.6713036e-1f;
  p = p * u + 1.0f;
  q = q * u + 1.0f;
  const Vector y = z * p / q;
  const Vector below = y > one ? one : y;
  return below < -one ? -one : below;
}

// σ(z) = 1/(1 + e) for z >= 0 and e/(1 + e) below, with e = exp(-|z|) = 2ⁿ·exp(f): no overflow, no cancellation.
INLINE Vector sigmoid_of(Vector z) {
  const Vector magnitude = z < filled(0.0f) ? z : -z;  // -|z|
  const Vector lowest = filled(-87.3f);                // the exponent of 2ⁿ ends here
  const Vector x = magnitude < lowest ? lowest : magnitude;
  const Vector shifter = filled(12582912.0f);  // 1.5·2²³: adding it rounds to an integer in the low bits
  const Vector shifted = x * 1.44269504f + shifter;
  const Vector n = shifted - shifter;
  Vector f = x - n * 0.693145752f;
  f = f - n * 1.42860677e-6f;
  Vector e = f * (1.0f / 5040) + (1.0f / 720);
  e = e * f + (1.0f / 120);
  e = e * f + (1.0f / 24);
  e = e * f + (1.0f / 6);
  e = e * f + 0.5f;
  e = e * f + 1.0f;
  e = e * f + 1.0f;
  Integers bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + (127 << 23);
  Vector scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  e = e * scale;
  e = magnitude < lowest ? filled(0.0f) : e;
  const Vector one = filled(1.0f);
  return (z < filled(0.0f) ? e : one) / (one + e);
}

template <Activation kActivation>
INLINE Vector activated(Vector z) {
  if (kActivation == Activation::kTanh) return tanh_of(z);
  if (kActivation == Activation::kSigmoid) return sigmoid_of(z);
  if (kActivation == Activation::kRelu) return z < filled(0.0f) ? filled(0.0f) : z;
  return z;
}

// φ'(z) from h = φ(z).
template <Activation kActivation>
INLINE Vector slope(Vector h) {
  if (kActivation == Activation::kTanh) return 1.0f - h * h;
  if (kActivation == Activation::kSigmoid) return h * (1.0f - h);
  if (kActivation == Activation::kRelu) return h > filled(0.0f) ? filled(1.0f) : filled(0.0f);
  return filled(1.0f);
}

}  // namespace
