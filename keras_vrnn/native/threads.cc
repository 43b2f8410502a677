#include "threads.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace keras_vrnn {
namespace {

void pause() {
#if defined(__SSE__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  void (*task)(void*, int);
  void* context;
  int count;
  int helpers;  // how many more threads may join
  int joined = 0;
  std::atomic<int> next{0};
  Job* following = nullptr;

  void work() {
    FlushSubnormals flush;
    for (int index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(context, index);
  }
};

class Pool {
 public:
  void run(Job& job) {
    const int helpers = job.helpers;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      start(helpers);
      job.following = first_;
      first_ = &job;
      waiting_.fetch_add(1, std::memory_order_release);
    }
    for (int i = 0; i < helpers; ++i) arrived_.notify_one();
    job.work();
    std::unique_lock<std::mutex> lock(mutex_);
    for (Job** link = &first_; *link; link = &(*link)->following) {
      if (*link == &job) {
        *link = job.following;
        waiting_.fetch_sub(1, std::memory_order_release);
        break;
      }
    }
    // Slices take about equally long, so that helpers are about to finish: spin before sleeping.
    for (int spins = 0; job.joined > 0 && spins < kSpins; ++spins) {
      lock.unlock();
      pause();
      lock.lock();
    }
    left_.wait(lock, [&] { return job.joined == 0; });
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  // A fork copies no thread but the one that forks, and none of the jobs in flight is the child's.
  void forget_threads() {
    started_ = 0;
    first_ = nullptr;
    waiting_.store(0);
    // The parent's threads may have been waiting on these, which would swallow signals meant for the child's.
    new (&arrived_) std::condition_variable;
    new (&left_) std::condition_variable;
  }

 private:
  static constexpr int kSpins = 2000;  // some tens of microseconds

  void start(int wanted) {
    for (; started_ < wanted; ++started_) {
      try {
        std::thread([this] { help(); }).detach();
      } catch (const std::system_error&) {
        return;  // no more threads to be had: the caller computes everything
      }
    }
  }

  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      Job* job = first_;
      while (job && job->helpers == 0) job = job->following;
      if (!job) {
        lock.unlock();
        // The backward pass of a small model follows its forward pass sooner than a sleeping thread wakes.
        for (int spins = 0; spins < kSpins && waiting_.load(std::memory_order_acquire) == 0; ++spins) pause();
        lock.lock();
        arrived_.wait(lock, [&] {
          for (Job* other = first_; other; other = other->following)
            if (other->helpers > 0) return true;
          return false;
        });
        continue;
      }
      --job->helpers;
      ++job->joined;
      lock.unlock();
      job->work();
      lock.lock();
      if (--job->joined == 0) left_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable arrived_, left_;
  Job* first_ = nullptr;
  std::atomic<int> waiting_{0};
  int started_ = 0;
};

// Never destroyed: its threads may outlive the static objects of the process.
Pool* const pool = [] {
  static Pool* made = new Pool;
  pthread_atfork([] { made->lock(); }, [] { made->unlock(); },
                 [] {
                   made->forget_threads();
                   made->unlock();
                 });
  return made;
}();

}  // namespace

void run_in_parallel(int count, int threads, void (*task)(void*, int), void* context) {
  Job job{task, context, count, (count < threads ? count : threads) - 1};
  if (job.helpers <= 0) {
    job.work();
    return;
  }
  pool->run(job);
}

#if defined(__SSE__)
FlushSubnormals::FlushSubnormals() : saved_(_mm_getcsr()) { _mm_setcsr(static_cast<unsigned>(saved_) | 0x8040); }
FlushSubnormals::~FlushSubnormals() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
FlushSubnormals::FlushSubnormals() {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" : : "r"(saved_ | (1ul << 24)));
}
FlushSubnormals::~FlushSubnormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }
#else
FlushSubnormals::FlushSubnormals() : saved_(0) {}
FlushSubnormals::~FlushSubnormals() {}
#endif

}  // namespace keras_vrnn
