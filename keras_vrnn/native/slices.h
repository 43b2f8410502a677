// The recurrence of some rows of the batch, and its gradient. Included by recurrence_code.h, once per instruction set.

namespace {

using keras_vrnn::Backward;
using keras_vrnn::Forward;
using keras_vrnn::Inputs;
using keras_vrnn::kLongBlock;
using keras_vrnn::Shape;

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

}  // namespace
