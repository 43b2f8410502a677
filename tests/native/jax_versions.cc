// What the library's functions for JAX answer to a caller with another version of XLA's interface.
#include <cstdio>

#include "jax_ffi.h"

using namespace keras_vrnn::ffi;

extern "C" Error* keras_vrnn_recurrence(Frame*);

namespace {

int refusals = 0;

Error* count(NewError*) {
  ++refusals;
  return nullptr;
}

struct Answer {
  int refusals, minor;
};

// The answer to the question for the version that XLA asks at registration.
Answer ask(int major, int minor, size_t metadata_size = sizeof(Metadata), size_t frame_size = sizeof(Frame)) {
  Api api{sizeof(Api), nullptr, {sizeof(Version), nullptr, major, minor}, nullptr, count};
  Metadata metadata{metadata_size, {sizeof(Version), nullptr, -1, -1}, 7};
  MetadataExtension extension{{sizeof(MetadataExtension), kMetadata, nullptr}, &metadata};
  Frame frame{};
  frame.size = frame_size;
  frame.extensions = &extension.base;
  frame.api = &api;
  refusals = 0;
  keras_vrnn_recurrence(&frame);
  return {refusals, metadata.version.minor};
}

}  // namespace

int main() {
  const Answer oldest = ask(0, 1), newest = ask(0, 3), later = ask(0, 9);
  const bool good = oldest.refusals == 0 && oldest.minor == 1 && newest.refusals == 0 && newest.minor == 3 &&
                    later.refusals == 0 && later.minor == 3 && ask(0, 0).refusals == 1 && ask(1, 3).refusals == 1 &&
                    ask(0, 3, offsetof(Metadata, traits)).refusals == 1 &&
                    ask(0, 3, sizeof(Metadata), offsetof(Frame, attributes)).refusals == 1;
  std::puts(good ? "good" : "bad");
  return !good;
}
