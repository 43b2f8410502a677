// Matrices in panels, and their products. Included by recurrence_code.h, once per instruction set.
//
// All matrices lie in panels of kPanel columns: a panel holds its columns of all rows, one row after another. So a tile
// reads its operands in the order in which they lie in memory, at distances that are known when this is compiled.

namespace {

constexpr int kPanel = 2 * kLanes;
constexpr int kRows = KERAS_VRNN_ROWS;
constexpr int kOuterRows = KERAS_VRNN_OUTER_ROWS;
constexpr int kAddends = 2;                // of a product, at most
constexpr int64_t kDepth = 6144 / kPanel;  // rows of a panel in 24 KiB of the first-level cache
constexpr int64_t kChunk = 4096 / kPanel;  // samples of two panels in 32 KiB of it

constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }
constexpr int64_t padded(int64_t columns) { return parts(columns, kPanel) * kPanel; }

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

}  // namespace
