// Threads that the calls of a process share, apart from those of TensorFlow and XLA.
#pragma once

namespace keras_vrnn {

// Runs task(context, 0) … task(context, count - 1), in any order, on the calling thread and at most `threads` - 1 others.
// The caller always works too, so that calls from several threads, or after a fork, finish without any helper.
void run_in_parallel(int count, int threads, void (*task)(void* context, int index), void* context);

// Flushes subnormal numbers to zero while it lives, as TensorFlow does in its kernels, so that a result does not depend
// on the thread that computed it.
class FlushSubnormals {
 public:
  FlushSubnormals();
  ~FlushSubnormals();
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  unsigned long saved_;
};

}  // namespace keras_vrnn
