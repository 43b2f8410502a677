// Runs every version of the native kernel on random problems, for the sanitizers: arrays are exactly as long as the
// kernel may read or write. Versions must agree to float32 rounding. Calls come from two threads, and from a fork.
// Arguments: the number of problems, and `no-fork` for emulators that cannot fork a program with threads.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "recurrence.h"

using namespace keras_vrnn;

namespace {

using Array = std::unique_ptr<float[]>;

struct Problem {
  std::mt19937 random;
  Shape shape;
  Activation activation;
  bool reverse, long_sequence;
  Array x, state, kernel, recurrent_kernel, bias, recurrent_mask, d_last, d_hidden;
  std::unique_ptr<bool[]> mask;

  int64_t between(int64_t least, int64_t most) { return least + static_cast<int64_t>(random() % (most - least + 1)); }
  bool chance() { return random() & 1; }
  Array numbers(int64_t count, float scale) {
    Array made(new float[count]);
    std::normal_distribution<float> normal(0, scale);
    for (int64_t i = 0; i < count; ++i) made[i] = normal(random);
    return made;
  }

  explicit Problem(unsigned seed) : random(seed) {
    shape = {between(1, 40), between(0, 9), between(1, 70), between(1, 70)};
    if (seed % 8 == 0) shape = {between(1, 6), between(100, 200), between(1, 5), between(1, 20)};
    activation = static_cast<Activation>(random() % 4);
    reverse = chance();
    long_sequence = chance();
    const auto [b, t, f, u] = shape;
    x = numbers(b * t * f, 1);
    state = numbers(b * u, 1);
    kernel = numbers(f * u, 0.5f / std::sqrt(static_cast<float>(f)));
    recurrent_kernel = numbers(u * u, 0.5f / std::sqrt(static_cast<float>(u)));
    if (chance()) bias = numbers(u, 1);
    if (chance()) recurrent_mask = numbers(b * u, 1);
    if (chance()) d_last = numbers(b * u, 1);
    if (!d_last || chance()) d_hidden = numbers(b * t * u, 1);
    if (chance()) {
      mask.reset(new bool[b * t]);
      for (int64_t i = 0; i < b * t; ++i) mask[i] = chance();
    }
  }

  Inputs inputs() const {
    return {shape,  activation, reverse,    x.get(), state.get(), kernel.get(), recurrent_kernel.get(), bias.get(),
            mask.get(), recurrent_mask.get()};
  }

  // All results one after another.
  std::vector<float> run(int version, int threads) const {
    const auto [b, t, f, u] = shape;
    const int64_t blocks = (t + kLongBlock - 1) / kLongBlock;
    const int64_t sizes[] = {b * u, long_sequence ? b * blocks * u : b * t * u, b * t * u, b * t * f, b * u, f * u, u * u, u};
    std::vector<Array> parts;
    for (int64_t size : sizes) parts.emplace_back(new float[size]);
    Forward forward{};
    forward.in = inputs();
    forward.last = parts[0].get();
    (long_sequence ? forward.starts : forward.hidden) = parts[1].get();
    Backward backward{};
    backward.in = inputs();
    (long_sequence ? backward.starts : backward.hidden) = parts[1].get();
    backward.d_last = d_last.get();
    backward.d_hidden = d_hidden.get();
    backward.dz = parts[2].get();
    backward.dx = parts[3].get();
    backward.d_state = parts[4].get();
    backward.d_kernel = parts[5].get();
    backward.d_recurrent_kernel = parts[6].get();
    backward.d_bias = parts[7].get();
    const Kernels* code = kernels(version);
    if (!code->forward(forward, threads) || !code->backward(backward, threads)) std::abort();
    std::vector<float> all;
    for (size_t i = 0; i < parts.size(); ++i) all.insert(all.end(), parts[i].get(), parts[i].get() + sizes[i]);
    return all;
  }
};

bool agree(const std::vector<float>& a, const std::vector<float>& b, unsigned seed) {
  float largest = 1, error = 0;
  for (float value : a) largest = std::fmax(largest, std::fabs(value));
  for (size_t i = 0; i < a.size(); ++i) error = std::fmax(error, std::fabs(a[i] - b[i]));
  // float32 rounding of sums of up to 1,200 products, carried over up to 200 steps; NaN fails too.
  if (error <= 2e-4f * largest) return true;
  std::printf("seed %u: error %g of %g\n", seed, error, largest);
  return false;
}

bool check(unsigned first, unsigned last) {
  bool good = true;
  for (unsigned seed = first; seed < last; ++seed) {
    const Problem problem(seed);
    const std::vector<float> expected = problem.run(3, 1);
    for (int version = 1; version <= 3; ++version)
      for (int threads = 1; threads <= 3; ++threads)
        if (kernels(version)) good = agree(expected, problem.run(version, threads), seed) && good;
  }
  return good;
}

}  // namespace

int main(int count, char** arguments) {
  const unsigned problems = count > 1 ? static_cast<unsigned>(std::atoi(arguments[1])) : 40;
  bool good = false, other = false;
  std::thread thread([&] { other = check(0, problems / 2); });
  good = check(problems / 2, problems);
  thread.join();
  int status = 0;
  if (count < 3 || std::strcmp(arguments[2], "no-fork")) {
    const pid_t child = fork();
    if (child == 0) _exit(check(0, 4) ? 0 : 1);
    waitpid(child, &status, 0);
  }
  std::printf("%u problems: %s\n", problems, good && other && status == 0 ? "good" : "wrong");
  return good && other && status == 0 ? 0 : 1;
}
