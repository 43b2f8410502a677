// Compiles where the declarations of jax_ffi.h are those of XLA's own header.
#include <type_traits>

#include "xla/ffi/api/c_api.h"

#include "jax_ffi.h"

using namespace keras_vrnn;

#define SAME(ours, our_name, theirs, their_name)                                                           \
  static_assert(offsetof(ours, our_name) == offsetof(theirs, their_name) &&                                \
                    sizeof(ours::our_name) == sizeof(theirs::their_name),                                  \
                #theirs "." #their_name)

SAME(ffi::Extension, size, XLA_FFI_Extension_Base, struct_size);
SAME(ffi::Extension, type, XLA_FFI_Extension_Base, type);
SAME(ffi::Extension, next, XLA_FFI_Extension_Base, next);
SAME(ffi::Version, size, XLA_FFI_Api_Version, struct_size);
SAME(ffi::Version, extensions, XLA_FFI_Api_Version, extension_start);
SAME(ffi::Version, major, XLA_FFI_Api_Version, major_version);
SAME(ffi::Version, minor, XLA_FFI_Api_Version, minor_version);
SAME(ffi::Metadata, size, XLA_FFI_Metadata, struct_size);
SAME(ffi::Metadata, version, XLA_FFI_Metadata, api_version);
SAME(ffi::Metadata, traits, XLA_FFI_Metadata, traits);
SAME(ffi::MetadataExtension, base, XLA_FFI_Metadata_Extension, extension_base);
SAME(ffi::MetadataExtension, metadata, XLA_FFI_Metadata_Extension, metadata);
SAME(ffi::NewError, size, XLA_FFI_Error_Create_Args, struct_size);
SAME(ffi::NewError, extensions, XLA_FFI_Error_Create_Args, extension_start);
SAME(ffi::NewError, message, XLA_FFI_Error_Create_Args, message);
SAME(ffi::NewError, code, XLA_FFI_Error_Create_Args, errc);
SAME(ffi::Api, size, XLA_FFI_Api, struct_size);
SAME(ffi::Api, version, XLA_FFI_Api, api_version);
SAME(ffi::Api, internal, XLA_FFI_Api, internal_api);
SAME(ffi::Api, new_error, XLA_FFI_Api, XLA_FFI_Error_Create);
SAME(ffi::Buffer, size, XLA_FFI_Buffer, struct_size);
SAME(ffi::Buffer, type, XLA_FFI_Buffer, dtype);
SAME(ffi::Buffer, data, XLA_FFI_Buffer, data);
SAME(ffi::Buffer, rank, XLA_FFI_Buffer, rank);
SAME(ffi::Buffer, sizes, XLA_FFI_Buffer, dims);
SAME(ffi::Text, data, XLA_FFI_ByteSpan, ptr);
SAME(ffi::Text, length, XLA_FFI_ByteSpan, len);
SAME(ffi::Scalar, type, XLA_FFI_Scalar, dtype);
SAME(ffi::Scalar, value, XLA_FFI_Scalar, value);
SAME(ffi::Buffers, count, XLA_FFI_Args, size);
SAME(ffi::Buffers, kinds, XLA_FFI_Args, types);
SAME(ffi::Buffers, buffers, XLA_FFI_Args, args);
SAME(ffi::Buffers, count, XLA_FFI_Rets, size);
SAME(ffi::Buffers, kinds, XLA_FFI_Rets, types);
SAME(ffi::Buffers, buffers, XLA_FFI_Rets, rets);
SAME(ffi::Attributes, count, XLA_FFI_Attrs, size);
SAME(ffi::Attributes, kinds, XLA_FFI_Attrs, types);
SAME(ffi::Attributes, names, XLA_FFI_Attrs, names);
SAME(ffi::Attributes, values, XLA_FFI_Attrs, attrs);
SAME(ffi::Frame, size, XLA_FFI_CallFrame, struct_size);
SAME(ffi::Frame, extensions, XLA_FFI_CallFrame, extension_start);
SAME(ffi::Frame, api, XLA_FFI_CallFrame, api);
SAME(ffi::Frame, context, XLA_FFI_CallFrame, ctx);
SAME(ffi::Frame, stage, XLA_FFI_CallFrame, stage);
SAME(ffi::Frame, arguments, XLA_FFI_CallFrame, args);
SAME(ffi::Frame, results, XLA_FFI_CallFrame, rets);
SAME(ffi::Frame, attributes, XLA_FFI_CallFrame, attrs);

static_assert(sizeof(ffi::Buffer) == XLA_FFI_Buffer_STRUCT_SIZE, "");
static_assert(sizeof(ffi::Frame) == XLA_FFI_CallFrame_STRUCT_SIZE, "");
static_assert(ffi::kPred == XLA_FFI_DataType_PRED && ffi::kS64 == XLA_FFI_DataType_S64, "");
static_assert(ffi::kF32 == XLA_FFI_DataType_F32 && ffi::kMetadata == XLA_FFI_Extension_Metadata, "");
static_assert(ffi::kBuffer == XLA_FFI_ArgType_BUFFER && ffi::kBuffer == XLA_FFI_RetType_BUFFER, "");
static_assert(ffi::kScalar == XLA_FFI_AttrType_SCALAR && ffi::kExecute == XLA_FFI_ExecutionStage_EXECUTE, "");
static_assert(ffi::kMajor == XLA_FFI_API_MAJOR && ffi::kLeastMinor <= XLA_FFI_API_MINOR, "");
