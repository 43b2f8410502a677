// Compiles where the declarations of tensorflow_c.h are those of TensorFlow's own headers.
#include <type_traits>

#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

#define KERAS_VRNN_TENSORFLOW_HEADERS
#include "tensorflow_c.h"

#define KERAS_VRNN_COMPARE(type, name, arguments) \
  static_assert(std::is_same<decltype(&::name), type(*) arguments>::value, #name);
KERAS_VRNN_TENSORFLOW_FUNCTIONS(KERAS_VRNN_COMPARE)

static_assert(TF_FLOAT == 1 && TF_BOOL == 10 && TF_OK == 0 && TF_INVALID_ARGUMENT == 3 && TF_RESOURCE_EXHAUSTED == 8, "");
static_assert(std::is_same<TF_Bool, unsigned char>::value, "");
