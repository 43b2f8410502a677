// Feeds a recurrent model from the standard input, one step of numbers at a time; "reset" starts a new sequence.
// On a device, replace Read by the sensor and Emit by the use of the output; the rest stays.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "rnn.h"

namespace {

enum class Event { kStep, kReset, kEnd };

// Fills x with the next step's input.
Event Read(float* x, int size) {
  char word[64];
  for (int n = 0; n < size; ++n) {
    if (std::scanf("%63s", word) != 1) return Event::kEnd;
    if (std::strcmp(word, "reset") == 0) return Event::kReset;
    x[n] = std::strtof(word, nullptr);
  }
  return Event::kStep;
}

void Emit(const float* y, int size) {
  for (int n = 0; n < size; ++n) std::printf(n + 1 < size ? "%.9g " : "%.9g\n", static_cast<double>(y[n]));
}

// Static: the arena is too large for most stacks.
Rnn rnn;
float x[model::kInputs[0].size];
float y[model::kOutputs[0].size];

}  // namespace

int main() {
  if (!rnn.Begin()) return 1;
  for (;;) {
    switch (Read(x, model::kInputs[0].size)) {
      case Event::kEnd:
        return 0;
      case Event::kReset:
        rnn.Reset();
        break;
      case Event::kStep:
        if (!rnn.Step(x, y)) return 1;
        Emit(y, model::kOutputs[0].size);
    }
  }
}
