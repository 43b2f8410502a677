// The code of `Forward` and `Backward`, written once for vectors of any length.
//
// Included in one file per instruction set, which defines KERAS_VRNN_LANES, the floats of a vector, KERAS_VRNN_ROWS, the
// most rows of a tile of a product, and KERAS_VRNN_OUTER_ROWS, those of a tile of a weight gradient. Standard headers come
// before the instructions are switched on: the linker may choose any copy of an inline function for the whole program.
//
// All matrices lie in panels of kPanel columns: a panel holds its columns of all rows, one row after another. So a tile
// reads its operands in the order in which they lie in memory, at distances that are known when this is compiled.

namespace {

using keras_vrnn::Activation;
using keras_vrnn::Backward;
using keras_vrnn::Forward;
using keras_vrnn::Inputs;
using keras_vrnn::kLong;
using keras_vrnn::kLongBlock;
using keras_vrnn::Shape;

constexpr int kLanes = KERAS_VRNN_LANES;
constexpr int kPanel = 2 * kLanes;
constexpr int kRows = KERAS_VRNN_ROWS;
constexpr int kOuterRows = KERAS_VRNN_OUTER_ROWS;
constexpr int64_t kBlockSamples = 256;  // time steps times rows that the backward pass has in flight
constexpr int kAddends = 2;             // of a product, at most
constexpr int64_t kDepth = 6144 / kPanel;  // rows of a panel in 24 KiB of the first-level cache
constexpr int64_t kChunk = 4096 / kPanel;  // samples of two panels in 32 KiB of it
constexpr int64_t kLeastRows = 4;       // of a slice: fewer read the weights too often
constexpr int64_t kLeastWork = 200000;  // multiplications of a slice: fewer are done before another thread wakes

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

constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }
constexpr int64_t padded(int64_t columns) { return parts(columns, kPanel) * kPanel; }

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

// Memory of one call. Parts are handed out in order; a first round without memory adds up the size.
class Arena {
 public:
  explicit Arena(char* memory) : memory_(memory) {}

  float* take(int64_t floats) {
    float* part = memory_ ? reinterpret_cast<float*>(memory_ + used_) : nullptr;
    used_ += parts(floats * 4, 64) * 64;
    return part;
  }

  int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

struct Panels {
  float* data = nullptr;
  int64_t stride = 0;  // from a panel to the next
  int64_t floats = 0;  // in all

  Panels() = default;
  Panels(Arena& arena, int64_t rows, int64_t columns)
      : data(arena.take(rows * padded(columns))), stride(rows * kPanel), floats(rows * padded(columns)) {}

  float* at(int64_t panel, int64_t row) const { return data + panel * stride + row * kPanel; }
};

void copy_in(const Panels& to, int64_t first, const float* from, int64_t distance, int64_t rows, int64_t columns) {
  for (int64_t panel = 0; panel * kPanel < columns; ++panel) {
    const int64_t count = least(kPanel, columns - panel * kPanel);
    for (int64_t row = 0; row < rows; ++row) {
      const float* source = from + row * distance + panel * kPanel;
      float* target = to.at(panel, first + row);
      store(target, load_first(source, count));
      store(target + kLanes, load_first(source + kLanes, count - kLanes));
    }
  }
}

void copy_out(float* to, int64_t distance, const Panels& from, int64_t first, int64_t rows, int64_t columns) {
  for (int64_t panel = 0; panel * kPanel < columns; ++panel) {
    const int64_t count = least(kPanel, columns - panel * kPanel);
    for (int64_t row = 0; row < rows; ++row) {
      const float* source = from.at(panel, first + row);
      float* target = to + row * distance + panel * kPanel;
      store_first(target, load(source), count);
      store_first(target + kLanes, load(source + kLanes), count - kLanes);
    }
  }
}

void clear(const Panels& panels) { __builtin_memset(panels.data, 0, panels.floats * sizeof(float)); }

void copy_rows(const Panels& to, int64_t to_row, const Panels& from, int64_t from_row, int64_t rows, int64_t columns) {
  for (int64_t panel = 0; panel * kPanel < columns; ++panel)
    __builtin_memcpy(to.at(panel, to_row), from.at(panel, from_row), rows * kPanel * sizeof(float));
}

// A factor [depth rows, columns] as panels one after another, with zeros for the columns that fill the last one.
// Element (k, column) is at from[k·row_distance + column·column_distance].
void pack(float* to, int64_t panel_distance, const float* from, int64_t depth, int64_t columns, int64_t row_distance,
          int64_t column_distance) {
  for (int64_t first = 0; first < columns; first += kPanel, to += panel_distance) {
    const int64_t count = least(kPanel, columns - first);
    const float* panel = from + first * column_distance;
    if (column_distance == 1) {
      for (int64_t k = 0; k < depth; ++k) {
        for (int64_t i = 0; i < count; ++i) to[k * kPanel + i] = panel[k * row_distance + i];
        for (int64_t i = count; i < kPanel; ++i) to[k * kPanel + i] = 0;
      }
    } else {
      for (int64_t i = 0; i < kPanel; ++i)
        for (int64_t k = 0; k < depth; ++k)
          to[k * kPanel + i] = i < count ? panel[k * row_distance + i * column_distance] : 0;
    }
  }
}

// One addend a·B of a product: rows of a in panels, and how many columns of a, which are rows of B, there are.
struct Addend {
  const float* a;
  int64_t stride;
  int64_t depth;
};

// out = start + Σ a·B for kRowsOfTile rows and kVectors·kLanes columns. Rows of `start` lie `distance` apart.
template <int kRowsOfTile, int kVectors>
void product_tile(const Addend* addends, int count, int64_t offset, const float* b, const float* start,
                  int64_t distance, float* out) {
  Vector sums[kRowsOfTile][kVectors];
#pragma GCC unroll 16
  for (int row = 0; row < kRowsOfTile; ++row)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sums[row][v] = start ? load(start + row * distance + v * kLanes) : Vector{};
  for (int addend = 0; addend < count; ++addend) {
    const float* a = addends[addend].a + offset;
    for (int64_t rest = addends[addend].depth; rest > 0; rest -= kPanel, a += addends[addend].stride) {
      const int64_t columns = least(rest, kPanel);
#pragma GCC unroll 1
      for (int64_t k = 0; k < columns; ++k, b += kPanel) {
        Vector factor[kVectors];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) factor[v] = load(b + v * kLanes);
#pragma GCC unroll 16
        for (int row = 0; row < kRowsOfTile; ++row)
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) sums[row][v] += a[row * kPanel + k] * factor[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < kRowsOfTile; ++row)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) store(out + row * kPanel + v * kLanes, sums[row][v]);
}

// c += Σ over samples of aᵀ·b: kRowsOfTile columns of a, kVectors·kLanes columns of b.
template <int kRowsOfTile, int kVectors>
void outer_tile(const float* a, const float* b, int64_t samples, float* c) {
  Vector sums[kRowsOfTile][kVectors];
#pragma GCC unroll 16
  for (int row = 0; row < kRowsOfTile; ++row)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sums[row][v] = load(c + row * kPanel + v * kLanes);
#pragma GCC unroll 1
  for (int64_t sample = 0; sample < samples; ++sample, a += kPanel, b += kPanel) {
    Vector factor[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) factor[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int row = 0; row < kRowsOfTile; ++row)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[row][v] += a[row] * factor[v];
  }
#pragma GCC unroll 16
  for (int row = 0; row < kRowsOfTile; ++row)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) store(c + row * kPanel + v * kLanes, sums[row][v]);
}

typedef void (*ProductTile)(const Addend*, int, int64_t, const float*, const float*, int64_t, float*);
typedef void (*OuterTile)(const float*, const float*, int64_t, float*);

// Tiles of 1 to kLast rows, by one and two vectors of columns.
template <int kLast>
struct Tiles {
  ProductTile product[2][kLast];
  OuterTile outer[2][kLast];
  template <int kRowsOfTile>
  constexpr void fill() {
    product[0][kRowsOfTile - 1] = product_tile<kRowsOfTile, 1>;
    product[1][kRowsOfTile - 1] = product_tile<kRowsOfTile, 2>;
    outer[0][kRowsOfTile - 1] = outer_tile<kRowsOfTile, 1>;
    outer[1][kRowsOfTile - 1] = outer_tile<kRowsOfTile, 2>;
    if constexpr (kRowsOfTile > 1) fill<kRowsOfTile - 1>();
  }
  constexpr Tiles() : product(), outer() { fill<kLast>(); }
};
constexpr Tiles<kRows> kTiles;
static_assert(kOuterRows <= kRows && kPanel % kOuterRows == 0, "a tile of a weight gradient lies in one panel");

// out = start + Σ a·B for any number of rows and columns; finish(panel, first row, rows) follows each tile of `out`, while
// the cache still holds it. `start` is one row or null.
template <class Finish>
INLINE void multiply(int64_t rows, const Addend* addends, int count, const float* b, int64_t columns,
                     const float* start, const Panels& out, const Finish& finish) {
  const int64_t tiles = parts(rows, kRows);
  for (int64_t panel = 0; panel * kPanel < columns; ++panel) {
    const int wide = columns - panel * kPanel > kLanes;
    // kDepth rows of B at a time, which stay in the first-level cache for all tiles.
    int addend = 0;
    int64_t done = 0;
    for (bool begun = false; addend < count || !begun; begun = true) {
      Addend some[kAddends];
      int taken = 0;
      int64_t room = kDepth;
      while (addend < count) {
        const Addend& whole = addends[addend];
        const int64_t rest = whole.depth - done, part = rest <= room ? rest : room / kPanel * kPanel;
        if (part == 0 && rest > 0) break;
        some[taken++] = {whole.a + done / kPanel * whole.stride, whole.stride, part};
        done += part;
        room -= part;
        if (done < whole.depth) break;
        ++addend;
        done = 0;
      }
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t first = rows * tile / tiles, height = rows * (tile + 1) / tiles - first;
        float* to = out.at(panel, first);
        const float* from = begun ? to : start ? start + panel * kPanel : nullptr;
        kTiles.product[wide][height - 1](some, taken, first * kPanel, b, from, begun ? kPanel : 0, to);
        if (addend == count) finish(panel, first, height);
      }
      b += (kDepth - room) * kPanel;
    }
  }
}

// c += aᵀ·b over all samples.
void add_outer(const Panels& a, int64_t rows, const Panels& b, int64_t columns, int64_t samples, const Panels& c) {
  for (int64_t begin = 0; begin < samples; begin += kChunk) {
    const int64_t count = least(kChunk, samples - begin);
    for (int64_t panel = 0; panel * kPanel < columns; ++panel) {
      const int wide = columns - panel * kPanel > kLanes;
      for (int64_t row = 0; row < rows; row += kOuterRows) {
        const int64_t height = least(kOuterRows, rows - row);
        kTiles.outer[wide][height - 1](a.at(row / kPanel, begin) + row % kPanel, b.at(panel, begin), count,
                                       c.at(panel, row));
      }
    }
  }
}

// What all slices read.
struct Packed {
  const float* forward;    // [W; R]
  const float* bias;       // with zeros up to a whole panel, or null
  const float* recurrent;  // Rᵀ
  const float* kernel;     // Wᵀ
};

int64_t step_at(const Inputs& in, int64_t position) { return in.reverse ? in.shape.time - 1 - position : position; }

// Rows of the batch, and a number of steps of theirs at once. A sample is a row at a step: step·rows + row.
struct Slice {
  const Inputs& in;
  const Packed& packed;
  int64_t row, rows;  // rows of the batch
  Panels x;           // x_t of each sample
  Panels h;           // h_{t-1} of each sample, and h after the last step behind them
  Panels dropped;     // the same times r, where there is r

  Slice(const Inputs& in, const Packed& packed, int64_t row, int64_t rows, int64_t steps, Arena& arena)
      : in(in), packed(packed), row(row), rows(rows) {
    x = Panels(arena, steps * rows, in.shape.features);
    h = Panels(arena, (steps + 1) * rows, in.shape.units);
    dropped = in.recurrent_mask ? Panels(arena, (steps + 1) * rows, in.shape.units) : h;
  }

  int64_t units() const { return in.shape.units; }
  int64_t panels() const { return parts(units(), kPanel); }

  bool counts(int64_t r, int64_t t) const { return !in.mask || in.mask[(row + r) * in.shape.time + t]; }

  Vector recurrent_mask(int64_t r, int64_t panel, int vector) const {
    const int64_t column = panel * kPanel + vector * kLanes;
    return load_first(in.recurrent_mask + (row + r) * units() + column, units() - column);
  }

  void drop(int64_t step) const {
    if (!in.recurrent_mask) return;
    for (int64_t panel = 0; panel < panels(); ++panel)
      for (int64_t r = 0; r < rows; ++r)
        for (int v = 0; v < 2; ++v)
          store(dropped.at(panel, step * rows + r) + v * kLanes,
                load(h.at(panel, step * rows + r) + v * kLanes) * recurrent_mask(r, panel, v));
  }

  // h before the first of the steps.
  void begin(const float* state, int64_t distance) const {
    copy_in(h, 0, state + row * distance, distance, rows, units());
    drop(0);
  }

  void read_inputs(int64_t position, int64_t steps) const {
    const int64_t distance = in.shape.time * in.shape.features;
    for (int64_t step = 0; step < steps; ++step)
      copy_in(x, step * rows, in.x + row * distance + step_at(in, position + step) * in.shape.features, distance, rows,
              in.shape.features);
  }

  // The steps from `position` on, of inputs that have been read.
  template <Activation kActivation>
  void forward(int64_t position, int64_t steps, float* hidden) const {
    const int64_t distance = in.shape.time * units();
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t t = step_at(in, position + step);
      const Addend addends[] = {{x.at(0, step * rows), x.stride, in.shape.features},
                                {dropped.at(0, step * rows), dropped.stride, units()}};
      float* out = hidden ? hidden + row * distance + t * units() : nullptr;
      Panels next = h;
      next.data = h.at(0, (step + 1) * rows);
      multiply(rows, addends, 2, packed.forward, units(), packed.bias, next,
               [&](int64_t panel, int64_t first, int64_t height) {
                 for (int64_t r = first; r < first + height; ++r) {
                   const bool counted = counts(r, t);
                   for (int v = 0; v < 2; ++v) {
                     const int64_t column = panel * kPanel + v * kLanes;
                     if (column >= units()) break;
                     float* place = next.at(panel, r) + v * kLanes;
                     const Vector value = counted ? activated<kActivation>(load(place))
                                                  : load(h.at(panel, step * rows + r) + v * kLanes);
                     store(place, value);
                     if (out) store_first(out + r * distance + column, value, units() - column);
                     if (in.recurrent_mask)
                       store(dropped.at(panel, (step + 1) * rows + r) + v * kLanes, value * recurrent_mask(r, panel, v));
                   }
                 }
               });
    }
  }

  // Makes the last state the first one, for the next steps.
  void advance(int64_t steps) const {
    copy_rows(h, 0, h, steps * rows, rows, units());
    if (in.recurrent_mask) copy_rows(dropped, 0, dropped, steps * rows, rows, units());
  }
};

template <Activation kActivation>
void forward_slice(const Forward& call, const Slice& slice, int64_t block) {
  const Shape& shape = call.in.shape;
  slice.begin(call.in.state, shape.units);
  for (int64_t position = 0; position < shape.time; position += block) {
    const int64_t steps = least(block, shape.time - position);
    if (call.starts && position % kLongBlock == 0) {
      const int64_t distance = parts(shape.time, kLongBlock) * shape.units;
      copy_out(call.starts + slice.row * distance + position / kLongBlock * shape.units, distance, slice.h, 0,
               slice.rows, shape.units);
    }
    slice.read_inputs(position, steps);
    slice.template forward<kActivation>(position, steps, call.hidden);
    slice.advance(steps);
  }
  copy_out(call.last + slice.row * shape.units, shape.units, slice.h, 0, slice.rows, shape.units);
}

// What the backward pass of a slice has beside its inputs and states.
struct Gradients {
  Panels dh;          // ∂L/∂h_t of each row
  Panels beside;      // the part of it that passes a masked step
  Panels dz;          // ∂L/∂z_t of each sample
  Panels dx;          // of each sample
  Panels d_kernel, d_recurrent, d_bias;  // sums over the slice

  Gradients() = default;
  Gradients(const Backward& call, int64_t rows, int64_t steps, Arena& arena) {
    const Shape& shape = call.in.shape;
    dh = Panels(arena, rows, shape.units);
    if (call.in.mask) beside = Panels(arena, rows, shape.units);
    dz = Panels(arena, steps * rows, shape.units);
    if (call.dx) dx = Panels(arena, steps * rows, shape.features);
    d_kernel = Panels(arena, shape.features, shape.units);
    d_recurrent = Panels(arena, shape.units, shape.units);
    d_bias = Panels(arena, 1, shape.units);
  }
};

// dz_t of ∂L/∂h_t, and what passes the step beside it.
template <Activation kActivation>
void to_candidate(const Backward& call, const Slice& slice, const Gradients& to, int64_t step, int64_t t) {
  const int64_t units = slice.units(), distance = call.in.shape.time * units;
  for (int64_t panel = 0; panel < slice.panels(); ++panel) {
    for (int64_t r = 0; r < slice.rows; ++r) {
      const bool counted = slice.counts(r, t);
      for (int v = 0; v < 2; ++v) {
        const int64_t column = panel * kPanel + v * kLanes, at = (slice.row + r) * distance + t * units + column;
        if (column >= units) break;
        Vector dh = load(to.dh.at(panel, r) + v * kLanes);
        if (call.d_hidden) dh += load_first(call.d_hidden + at, units - column);
        const Vector h = load(slice.h.at(panel, (step + 1) * slice.rows + r) + v * kLanes);
        const Vector dz = counted ? dh * slope<kActivation>(h) : Vector{};
        store(to.dz.at(panel, step * slice.rows + r) + v * kLanes, dz);
        if (call.dz) store_first(call.dz + at, dz, units - column);
        if (call.in.mask) store(to.beside.at(panel, r) + v * kLanes, counted ? Vector{} : dh);
      }
    }
  }
}

// ∂L/∂h_{t-1} of dz_t.
void to_state(const Backward& call, const Slice& slice, const Gradients& to, int64_t step) {
  const Addend addend = {to.dz.at(0, step * slice.rows), to.dz.stride, slice.units()};
  multiply(slice.rows, &addend, 1, slice.packed.recurrent, slice.units(), nullptr, to.dh,
           [&](int64_t panel, int64_t first, int64_t height) {
             if (!call.in.mask && !call.in.recurrent_mask) return;
             for (int64_t r = first; r < first + height; ++r) {
               for (int v = 0; v < 2; ++v) {
                 if (panel * kPanel + v * kLanes >= slice.units()) break;
                 float* place = to.dh.at(panel, r) + v * kLanes;
                 Vector dh = load(place);
                 if (call.in.recurrent_mask) dh *= slice.recurrent_mask(r, panel, v);
                 if (call.in.mask) dh += load(to.beside.at(panel, r) + v * kLanes);
                 store(place, dh);
               }
             }
           });
}

// The h of a block: read from what the forward pass kept, or computed again.
template <Activation kActivation>
void read_states(const Backward& call, const Slice& slice, int64_t position, int64_t steps) {
  const int64_t units = slice.units(), time = call.in.shape.time;
  if (call.starts) {
    const int64_t blocks = parts(time, kLongBlock);
    slice.begin(call.starts + position / kLongBlock * units, blocks * units);
    slice.template forward<kActivation>(position, steps, nullptr);
    return;
  }
  for (int64_t step = 0; step <= steps; ++step) {
    const int64_t before = position + step - 1;
    if (before < 0) {
      copy_in(slice.h, 0, call.in.state + slice.row * units, units, slice.rows, units);
    } else {
      copy_in(slice.h, step * slice.rows, call.hidden + (slice.row * time + step_at(call.in, before)) * units,
              time * units, slice.rows, units);
    }
    slice.drop(step);
  }
}

void add_weights(const Backward& call, const Slice& slice, const Gradients& to, int64_t samples) {
  add_outer(slice.x, call.in.shape.features, to.dz, slice.units(), samples, to.d_kernel);
  add_outer(slice.dropped, slice.units(), to.dz, slice.units(), samples, to.d_recurrent);
  for (int64_t panel = 0; panel < slice.panels(); ++panel) {
    for (int v = 0; v < 2; ++v) {
      if (panel * kPanel + v * kLanes >= slice.units()) break;
      float* place = to.d_bias.at(panel, 0) + v * kLanes;
      Vector sum{};  // of this block alone: shorter chains of additions round less
      for (int64_t sample = 0; sample < samples; ++sample) sum += load(to.dz.at(panel, sample) + v * kLanes);
      store(place, load(place) + sum);
    }
  }
}

void to_inputs(const Backward& call, const Slice& slice, const Gradients& to, int64_t position, int64_t steps) {
  const int64_t features = call.in.shape.features, distance = call.in.shape.time * features;
  const Addend addend = {to.dz.data, to.dz.stride, slice.units()};
  multiply(steps * slice.rows, &addend, 1, slice.packed.kernel, features, nullptr, to.dx,
           [](int64_t, int64_t, int64_t) {});
  for (int64_t step = 0; step < steps; ++step)
    copy_out(call.dx + slice.row * distance + step_at(call.in, position + step) * features, distance, to.dx,
             step * slice.rows, slice.rows, features);
}

template <Activation kActivation>
void backward_slice(const Backward& call, const Slice& slice, const Gradients& to, int64_t block) {
  const Shape& shape = call.in.shape;
  const int64_t units = shape.units;
  clear(to.d_kernel);
  clear(to.d_recurrent);
  clear(to.d_bias);
  if (call.d_last) {
    copy_in(to.dh, 0, call.d_last + slice.row * units, units, slice.rows, units);
  } else {
    clear(to.dh);
  }
  for (int64_t number = parts(shape.time, block) - 1; number >= 0; --number) {
    const int64_t position = number * block, steps = least(block, shape.time - position);
    slice.read_inputs(position, steps);
    read_states<kActivation>(call, slice, position, steps);
    for (int64_t step = steps - 1; step >= 0; --step) {
      to_candidate<kActivation>(call, slice, to, step, step_at(call.in, position + step));
      to_state(call, slice, to, step);
    }
    add_weights(call, slice, to, steps * slice.rows);
    if (call.dx) to_inputs(call, slice, to, position, steps);
  }
  copy_out(call.d_state + slice.row * units, units, to.dh, 0, slice.rows, units);
}

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

bool forward(const Forward& call, int threads) {
  switch (call.in.activation) {
    case Activation::kTanh:
      return run_forward<Activation::kTanh>(call, threads);
    case Activation::kRelu:
      return run_forward<Activation::kRelu>(call, threads);
    case Activation::kSigmoid:
      return run_forward<Activation::kSigmoid>(call, threads);
    default:
      return run_forward<Activation::kLinear>(call, threads);
  }
}

bool backward(const Backward& call, int threads) {
  switch (call.in.activation) {
    case Activation::kTanh:
      return run_backward<Activation::kTanh>(call, threads);
    case Activation::kRelu:
      return run_backward<Activation::kRelu>(call, threads);
    case Activation::kSigmoid:
      return run_backward<Activation::kSigmoid>(call, threads);
    default:
      return run_backward<Activation::kLinear>(call, threads);
  }
}

}  // namespace
