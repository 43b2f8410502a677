// The part of TensorFlow's C API for ops and kernels that is used here (tensorflow/c/ops.h, kernels.h, tf_tensor.h and
// tf_status.h), so that neither compiling nor linking needs TensorFlow, and one binary serves all its versions.
// tests/native/headers.cc compares these declarations with TensorFlow's.
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef KERAS_VRNN_TENSORFLOW_HEADERS  // that test has included TensorFlow's own
struct TF_Status;
struct TF_Tensor;
struct TF_KernelBuilder;
struct TF_OpKernelConstruction;
struct TF_OpKernelContext;
struct TF_OpDefinitionBuilder;
struct TF_ShapeHandle;
struct TF_ShapeInferenceContext;
enum TF_DataType { TF_FLOAT = 1, TF_BOOL = 10 };
enum TF_Code { TF_OK = 0, TF_INVALID_ARGUMENT = 3, TF_RESOURCE_EXHAUSTED = 8 };
typedef unsigned char TF_Bool;
#endif

#define KERAS_VRNN_TENSORFLOW_FUNCTIONS(F)                                                                       \
  F(TF_Status*, TF_NewStatus, (void))                                                                            \
  F(void, TF_DeleteStatus, (TF_Status*))                                                                         \
  F(void, TF_SetStatus, (TF_Status*, TF_Code, const char*))                                                      \
  F(TF_Code, TF_GetCode, (const TF_Status*))                                                                     \
  F(void, TF_DeleteTensor, (TF_Tensor*))                                                                         \
  F(int, TF_NumDims, (const TF_Tensor*))                                                                         \
  F(int64_t, TF_Dim, (const TF_Tensor*, int))                                                                    \
  F(void*, TF_TensorData, (const TF_Tensor*))                                                                    \
  F(void, TF_GetInput, (TF_OpKernelContext*, int, TF_Tensor**, TF_Status*))                                      \
  F(TF_Tensor*, TF_AllocateOutput, (TF_OpKernelContext*, int, TF_DataType, const int64_t*, int, size_t, TF_Status*)) \
  F(void, TF_OpKernelContext_Failure, (TF_OpKernelContext*, TF_Status*))                                         \
  F(void, TF_OpKernelConstruction_Failure, (TF_OpKernelConstruction*, TF_Status*))                               \
  F(void, TF_OpKernelConstruction_GetAttrInt64, (TF_OpKernelConstruction*, const char*, int64_t*, TF_Status*))   \
  F(void, TF_OpKernelConstruction_GetAttrBool, (TF_OpKernelConstruction*, const char*, TF_Bool*, TF_Status*))    \
  F(TF_KernelBuilder*, TF_NewKernelBuilder,                                                                      \
    (const char*, const char*, void* (*)(TF_OpKernelConstruction*), void (*)(void*, TF_OpKernelContext*),        \
     void (*)(void*)))                                                                                           \
  F(void, TF_RegisterKernelBuilder, (const char*, TF_KernelBuilder*, TF_Status*))                                \
  F(TF_OpDefinitionBuilder*, TF_NewOpDefinitionBuilder, (const char*))                                           \
  F(void, TF_OpDefinitionBuilderAddAttr, (TF_OpDefinitionBuilder*, const char*))                                 \
  F(void, TF_OpDefinitionBuilderAddInput, (TF_OpDefinitionBuilder*, const char*))                                \
  F(void, TF_OpDefinitionBuilderAddOutput, (TF_OpDefinitionBuilder*, const char*))                               \
  F(void, TF_OpDefinitionBuilderSetShapeInferenceFunction,                                                       \
    (TF_OpDefinitionBuilder*, void (*)(TF_ShapeInferenceContext*, TF_Status*)))                                  \
  F(void, TF_RegisterOpDefinition, (TF_OpDefinitionBuilder*, TF_Status*))                                        \
  F(TF_ShapeHandle*, TF_NewShapeHandle, (void))                                                                  \
  F(void, TF_DeleteShapeHandle, (TF_ShapeHandle*))                                                               \
  F(void, TF_ShapeInferenceContextGetInput, (TF_ShapeInferenceContext*, int, TF_ShapeHandle*, TF_Status*))       \
  F(void, TF_ShapeInferenceContextSetOutput, (TF_ShapeInferenceContext*, int, TF_ShapeHandle*, TF_Status*))      \
  F(void, TF_ShapeInferenceContextSetUnknownShape, (TF_ShapeInferenceContext*, TF_Status*))                      \
  F(void, TF_ShapeInferenceContextSubshape,                                                                      \
    (TF_ShapeInferenceContext*, TF_ShapeHandle*, int64_t, int64_t, TF_ShapeHandle*, TF_Status*))                 \
  F(void, TF_ShapeInferenceContextConcatenateShapes,                                                             \
    (TF_ShapeInferenceContext*, TF_ShapeHandle*, TF_ShapeHandle*, TF_ShapeHandle*, TF_Status*))

namespace keras_vrnn {

struct TensorFlow {
#define KERAS_VRNN_MEMBER(type, name, arguments) type(*name) arguments = nullptr;
  KERAS_VRNN_TENSORFLOW_FUNCTIONS(KERAS_VRNN_MEMBER)
#undef KERAS_VRNN_MEMBER
};

}  // namespace keras_vrnn
