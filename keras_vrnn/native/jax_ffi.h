// The part of XLA's C interface for foreign functions that is used here (xla/ffi/api/c_api.h, which jaxlib has), so that
// compiling needs no JAX, and one binary serves all its versions. These parts are the same in versions 0.1 to 0.3 of the
// interface; a `size` tells how much of a structure the caller has. tests/native/jax_headers.cc compares them with jaxlib's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace keras_vrnn::ffi {

constexpr int kMajor = 0, kLeastMinor = 1, kMostMinor = 3;

constexpr int kPred = 1, kS64 = 5, kF32 = 11;  // types of numbers
constexpr int kBuffer = 1, kScalar = 3;        // kinds of arguments and results; of attributes
constexpr int kExecute = 3;                    // a stage
constexpr int kMetadata = 1;                   // a type of extension

struct Extension {
  size_t size;
  int type;
  Extension* next;
};
struct Version {
  size_t size;
  Extension* extensions;
  int major;
  int minor;
};

struct Metadata {
  size_t size;
  Version version;
  uint32_t traits;
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

struct Error;

struct NewError {
  size_t size;
  Extension* extensions;
  const char* message;
  int code;
};

struct Api {
  size_t size;
  Extension* extensions;
  Version version;
  const void* internal;
  Error* (*new_error)(NewError*);
};

struct Buffer {
  size_t size;
  Extension* extensions;
  int type;
  void* data;
  int64_t rank;
  int64_t* sizes;
};

struct Text {
  const char* data;
  size_t length;
};

struct Scalar {
  int type;
  void* value;
};

struct Buffers {  // arguments, or results
  size_t size;
  Extension* extensions;
  int64_t count;
  int* kinds;
  Buffer** buffers;
};

struct Attributes {
  size_t size;
  Extension* extensions;
  int64_t count;
  int* kinds;
  Text** names;
  void** values;
};

struct Frame {
  size_t size;
  Extension* extensions;
  const Api* api;
  void* context;
  int stage;
  Buffers arguments;
  Buffers results;
  Attributes attributes;
};

}  // namespace keras_vrnn::ffi
