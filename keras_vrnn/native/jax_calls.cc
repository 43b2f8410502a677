// The recurrence and its gradient as foreign functions of XLA; JAX registers them by address: library.py.
#include <cstring>
#include <initializer_list>

#include "calls.h"
#include "jax_ffi.h"

namespace keras_vrnn {
namespace {

ffi::Error* error(const ffi::Api* api, Code code, const char* message) {
  ffi::NewError made = {sizeof made, nullptr, message, static_cast<int>(code)};
  return api->new_error(&made);
}

// A call's arguments and results; holds the first error and then does nothing more.
class Context {
 public:
  Context(const ffi::Frame& frame, int arguments, int results) : frame_(frame) {
    if (!are_buffers(frame.arguments, arguments) || !are_buffers(frame.results, results))
      fail(Code::kInvalidArgument, "the recurrence has other arguments and results");
    // What stands in for an array that is not given has the array's type too.
    for (int index = 0; ok() && index < arguments; ++index)
      if (buffer(index).type != (index == kMask ? ffi::kPred : ffi::kF32))
        fail(Code::kInvalidArgument, "the recurrence takes float32, and a mask of bool");
  }

  bool ok() const { return !message_; }
  void fail(Code code, const char* message) {
    if (ok()) code_ = code, message_ = message;
  }
  ffi::Error* error() const { return ok() ? nullptr : keras_vrnn::error(frame_.api, code_, message_); }

  int rank(int index) { return ok() ? static_cast<int>(buffer(index).rank) : 0; }
  int64_t size(int index, int axis) { return buffer(index).sizes[axis]; }
  template <class T>
  const T* numbers(int index) { return static_cast<const T*>(buffer(index).data); }

  float* output(int index, std::initializer_list<int64_t> shape) {
    if (!ok()) return nullptr;
    const ffi::Buffer& made = *frame_.results.buffers[index];
    bool empty = false, equal = made.type == ffi::kF32 && made.rank == static_cast<int64_t>(shape.size());
    for (int64_t axis = 0; axis < made.rank; ++axis) empty = empty || made.sizes[axis] == 0;
    if (empty) return nullptr;
    const int64_t* actual = made.sizes;
    for (int64_t size : shape) equal = equal && *actual++ == size;
    if (!equal) fail(Code::kInvalidArgument, "a result of the recurrence has a wrong shape");
    return ok() ? static_cast<float*>(made.data) : nullptr;
  }

  Attributes attributes() {
    Attributes found;
    int64_t reverse = 0;
    const struct {
      const char* name;
      int64_t* to;
    } known[] = {{"activation", &found.activation}, {"instructions", &found.instructions}, {"keep", &found.keep},
                 {"reverse", &reverse},             {"threads", &found.threads}};
    const ffi::Attributes& given = frame_.attributes;
    for (int64_t i = 0; ok() && i < given.count; ++i) {
      int64_t* to = nullptr;
      for (const auto& one : known)
        if (given.names[i]->length == std::strlen(one.name) &&
            !std::memcmp(given.names[i]->data, one.name, given.names[i]->length))
          to = one.to;
      const ffi::Scalar* scalar = given.kinds[i] == ffi::kScalar ? static_cast<ffi::Scalar*>(given.values[i]) : nullptr;
      if (to && scalar && scalar->type == ffi::kS64)
        *to = *static_cast<int64_t*>(scalar->value);
      else
        fail(Code::kInvalidArgument, "the recurrence has other attributes");
    }
    found.reverse = reverse != 0;
    found.inputs = 1;  // dx is left out where its array has no numbers, and so is dz
    if (const char* message = fault(found)) fail(Code::kInvalidArgument, message);
    return found;
  }

 private:
  static constexpr int kMask = 5;

  static bool are_buffers(const ffi::Buffers& buffers, int count) {
    bool good = buffers.count == count;
    for (int index = 0; good && index < count; ++index)
      good = buffers.kinds[index] == ffi::kBuffer && buffers.buffers[index]->size >= sizeof(ffi::Buffer);
    return good;
  }
  const ffi::Buffer& buffer(int index) const { return *frame_.arguments.buffers[index]; }

  const ffi::Frame& frame_;
  Code code_ = Code::kInvalidArgument;
  const char* message_ = nullptr;
};

// The newest version of the interface that both sides have, which XLA asks for before the first call.
ffi::Error* tell_version(const ffi::Frame& frame, ffi::Metadata* metadata) {
  const ffi::Version& theirs = frame.api->version;
  if (metadata->size < offsetof(ffi::Metadata, traits) + sizeof metadata->traits || theirs.major != ffi::kMajor ||
      theirs.minor < ffi::kLeastMinor)
    return error(frame.api, Code::kInvalidArgument, "the recurrence has version 0.1 to 0.3 of XLA's interface");
  const int minor = theirs.minor < ffi::kMostMinor ? theirs.minor : ffi::kMostMinor;
  metadata->version = {sizeof(ffi::Version), nullptr, ffi::kMajor, minor};
  metadata->traits = 0;
  return nullptr;
}

template <class Run>
ffi::Error* call(const ffi::Frame* frame, int arguments, int results, const Run& run) {
  if (frame->size < sizeof(ffi::Frame))
    return error(frame->api, Code::kInvalidArgument, "the recurrence has another version of XLA's interface");
  for (const ffi::Extension* extension = frame->extensions; extension; extension = extension->next)
    if (extension->type == ffi::kMetadata)
      return tell_version(*frame, reinterpret_cast<const ffi::MetadataExtension*>(extension)->metadata);
  if (frame->stage != ffi::kExecute) return nullptr;
  Context context(*frame, arguments, results);
  const Attributes attributes = context.attributes();
  if (context.ok()) run(context, attributes);
  return context.error();
}

}  // namespace
}  // namespace keras_vrnn

#define KERAS_VRNN_EXPORTED extern "C" __attribute__((visibility("default")))

KERAS_VRNN_EXPORTED keras_vrnn::ffi::Error* keras_vrnn_recurrence(keras_vrnn::ffi::Frame* frame) {
  return keras_vrnn::call(frame, 7, 2, [](auto& context, const auto& attributes) {
    keras_vrnn::call_forward(context, attributes);
  });
}

KERAS_VRNN_EXPORTED keras_vrnn::ffi::Error* keras_vrnn_recurrence_gradient(keras_vrnn::ffi::Frame* frame) {
  return keras_vrnn::call(frame, 10, 6, [](auto& context, const auto& attributes) {
    keras_vrnn::call_backward(context, attributes);
  });
}
