// Registers the recurrence and its gradient with TensorFlow, when the library is loaded.
#include <dlfcn.h>

#include <cstring>
#include <initializer_list>

#include "recurrence.h"
#include "tensorflow_c.h"

namespace keras_vrnn {
namespace {

TensorFlow tf;

// TensorFlow's functions, from the library of this process that has them.
bool find_tensorflow() {
  void* library = nullptr;
  for (const char* name : {"libtensorflow_framework.so.2", "libtensorflow_cc.so.2", "libtensorflow_framework.2.dylib",
                           "libtensorflow_cc.2.dylib", static_cast<const char*>(nullptr)}) {
    library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);  // null stands for the whole program
    if (library && dlsym(library, "TF_RegisterOpDefinition")) break;
  }
  if (!library) return false;
  bool all = true;
#define KERAS_VRNN_FIND(type, name, arguments)                             \
  tf.name = reinterpret_cast<type(*) arguments>(dlsym(library, #name)); \
  all = all && tf.name;
  KERAS_VRNN_TENSORFLOW_FUNCTIONS(KERAS_VRNN_FIND)
#undef KERAS_VRNN_FIND
  return all;
}

struct Status {
  TF_Status* status = tf.TF_NewStatus();
  ~Status() { tf.TF_DeleteStatus(status); }
  Status() = default;
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;
  operator TF_Status*() const { return status; }
  bool ok() const { return tf.TF_GetCode(status) == TF_OK; }
};

struct Attributes {
  int64_t activation = 0, keep = 0, threads = 1, instructions = 0;
  TF_Bool reverse = 0, inputs = 0;
};

// A kernel's inputs and outputs; holds the first error and then does nothing more.
class Context {
 public:
  explicit Context(TF_OpKernelContext* context) : context_(context) {}
  ~Context() {
    for (TF_Tensor* tensor : held_)
      if (tensor) tf.TF_DeleteTensor(tensor);
    if (!status_.ok()) tf.TF_OpKernelContext_Failure(context_, status_);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bool ok() const { return status_.ok(); }
  void fail(TF_Code code, const char* message) {
    if (ok()) tf.TF_SetStatus(status_, code, message);
  }

  const TF_Tensor* input(int index) {
    TF_Tensor*& tensor = held_[index];
    if (ok() && !tensor) tf.TF_GetInput(context_, index, &tensor, status_);
    return ok() ? tensor : nullptr;
  }

  int64_t dimension(int index, int axis, int rank) {
    const TF_Tensor* tensor = input(index);
    if (!tensor) return 0;
    if (tf.TF_NumDims(tensor) != rank) {
      fail(TF_INVALID_ARGUMENT, "an input of the recurrence has a wrong rank");
      return 0;
    }
    return tf.TF_Dim(tensor, axis);
  }

  // The numbers of an input of this shape; null for an empty tensor, which stands for an input that is not given.
  template <class T>
  const T* data(int index, std::initializer_list<int64_t> shape) {
    const TF_Tensor* tensor = input(index);
    if (!tensor) return nullptr;
    bool empty = false, equal = tf.TF_NumDims(tensor) == static_cast<int>(shape.size());
    for (int axis = 0; axis < tf.TF_NumDims(tensor); ++axis) empty = empty || tf.TF_Dim(tensor, axis) == 0;
    if (empty) return nullptr;
    int axis = 0;
    for (int64_t size : shape) equal = equal && tf.TF_Dim(tensor, axis++) == size;
    if (!equal) fail(TF_INVALID_ARGUMENT, "the shapes of the inputs of the recurrence do not belong together");
    return ok() ? static_cast<const T*>(tf.TF_TensorData(tensor)) : nullptr;
  }

  float* output(int index, std::initializer_list<int64_t> shape) {
    if (!ok()) return nullptr;
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    TF_Tensor*& tensor = held_[kInputs + index];
    tensor = tf.TF_AllocateOutput(context_, index, TF_FLOAT, shape.begin(), static_cast<int>(shape.size()),
                                  count * sizeof(float), status_);
    return ok() && count ? static_cast<float*>(tf.TF_TensorData(tensor)) : nullptr;
  }

  Inputs inputs(const Attributes& attributes) {
    Inputs in{};
    in.shape = {dimension(0, 0, 3), dimension(0, 1, 3), dimension(0, 2, 3), dimension(3, 0, 2)};
    in.activation = static_cast<Activation>(attributes.activation);
    in.reverse = attributes.reverse;
    const Shape& shape = in.shape;
    if (dimension(1, 0, 2) != shape.batch || dimension(1, 1, 2) != shape.units || dimension(2, 0, 2) != shape.features ||
        dimension(2, 1, 2) != shape.units || dimension(3, 1, 2) != shape.units)
      fail(TF_INVALID_ARGUMENT, "the shapes of the inputs of the recurrence do not belong together");
    in.x = data<float>(0, {shape.batch, shape.time, shape.features});
    in.state = data<float>(1, {shape.batch, shape.units});
    in.kernel = data<float>(2, {shape.features, shape.units});
    in.recurrent_kernel = data<float>(3, {shape.units, shape.units});
    in.bias = data<float>(4, {shape.units});
    in.mask = data<bool>(5, {shape.batch, shape.time});
    in.recurrent_mask = data<float>(6, {shape.batch, shape.units});
    return in;
  }

 private:
  static constexpr int kInputs = 10;
  TF_OpKernelContext* context_;
  Status status_;
  TF_Tensor* held_[kInputs + 6] = {};
};

void* create(TF_OpKernelConstruction* construction, bool gradient) {
  Attributes* attributes = new Attributes;
  Status status;
  auto integer = [&](const char* name, int64_t* to) {
    if (status.ok()) tf.TF_OpKernelConstruction_GetAttrInt64(construction, name, to, status);
  };
  auto boolean = [&](const char* name, TF_Bool* to) {
    if (status.ok()) tf.TF_OpKernelConstruction_GetAttrBool(construction, name, to, status);
  };
  integer("activation", &attributes->activation);
  integer("threads", &attributes->threads);
  integer("instructions", &attributes->instructions);
  boolean("reverse", &attributes->reverse);
  if (gradient) {
    boolean("inputs", &attributes->inputs);
  } else {
    integer("keep", &attributes->keep);
  }
  if (status.ok() && (attributes->activation < 0 || attributes->activation > 3))
    tf.TF_SetStatus(status, TF_INVALID_ARGUMENT, "`activation` of the recurrence is not one of 0 to 3");
  if (status.ok() && !kernels(static_cast<int>(attributes->instructions)))
    tf.TF_SetStatus(status, TF_INVALID_ARGUMENT, "this processor lacks the `instructions` of the recurrence");
  if (!status.ok()) tf.TF_OpKernelConstruction_Failure(construction, status);
  return attributes;
}

void* create_forward(TF_OpKernelConstruction* construction) { return create(construction, false); }
void* create_backward(TF_OpKernelConstruction* construction) { return create(construction, true); }
void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

void compute_forward(void* kernel, TF_OpKernelContext* tensorflow) {
  const Attributes& attributes = *static_cast<Attributes*>(kernel);
  Context context(tensorflow);
  Forward call{};
  call.in = context.inputs(attributes);
  const Shape& shape = call.in.shape;
  const bool starts = attributes.keep == 1 && shape.time >= kLong;
  call.last = context.output(0, {shape.batch, shape.units});
  const int64_t kept = attributes.keep == 0 ? 0 : starts ? (shape.time + kLongBlock - 1) / kLongBlock : shape.time;
  float* hidden = context.output(1, {shape.batch, kept, shape.units});
  (starts ? call.starts : call.hidden) = hidden;
  if (!context.ok() || shape.batch == 0 || shape.units == 0) return;
  if (!kernels(static_cast<int>(attributes.instructions))->forward(call, static_cast<int>(attributes.threads)))
    context.fail(TF_RESOURCE_EXHAUSTED, "no memory for the recurrence");
}

void compute_backward(void* kernel, TF_OpKernelContext* tensorflow) {
  const Attributes& attributes = *static_cast<Attributes*>(kernel);
  Context context(tensorflow);
  Backward call{};
  call.in = context.inputs(attributes);
  const Shape& shape = call.in.shape;
  const int64_t kept = context.dimension(7, 1, 3);
  const int64_t blocks = (shape.time + kLongBlock - 1) / kLongBlock;
  const bool starts = kept != shape.time;
  const float* hidden = context.data<float>(7, {shape.batch, starts ? blocks : shape.time, shape.units});
  (starts ? call.starts : call.hidden) = hidden;
  call.d_last = context.data<float>(8, {shape.batch, shape.units});
  call.d_hidden = context.data<float>(9, {shape.batch, shape.time, shape.units});
  float* dz = context.output(0, {attributes.inputs ? 0 : shape.batch, shape.time, shape.units});
  float* dx = context.output(1, {attributes.inputs ? shape.batch : 0, shape.time, shape.features});
  call.dz = dz;
  call.dx = dx;
  call.d_state = context.output(2, {shape.batch, shape.units});
  call.d_kernel = context.output(3, {shape.features, shape.units});
  call.d_recurrent_kernel = context.output(4, {shape.units, shape.units});
  float* d_bias = context.output(5, {call.in.bias ? shape.units : 0});
  call.d_bias = d_bias;
  if (!context.ok() || shape.units == 0) return;
  if (shape.batch == 0) {
    if (call.d_kernel) std::memset(call.d_kernel, 0, shape.features * shape.units * sizeof(float));
    std::memset(call.d_recurrent_kernel, 0, shape.units * shape.units * sizeof(float));
    if (d_bias) std::memset(d_bias, 0, shape.units * sizeof(float));
    return;
  }
  if (!kernels(static_cast<int>(attributes.instructions))->backward(call, static_cast<int>(attributes.threads)))
    context.fail(TF_RESOURCE_EXHAUSTED, "no memory for the gradient of the recurrence");
}

// Handles of shapes, deleted together.
class Shapes {
 public:
  explicit Shapes(TF_ShapeInferenceContext* context, TF_Status* status) : context_(context), status_(status) {}
  ~Shapes() {
    for (int i = 0; i < count_; ++i) tf.TF_DeleteShapeHandle(handles_[i]);
  }
  Shapes(const Shapes&) = delete;
  Shapes& operator=(const Shapes&) = delete;

  TF_ShapeHandle* input(int index) {
    TF_ShapeHandle* handle = make();
    if (ok()) tf.TF_ShapeInferenceContextGetInput(context_, index, handle, status_);
    return handle;
  }
  TF_ShapeHandle* part(int index, int64_t start, int64_t end) {
    TF_ShapeHandle *whole = input(index), *handle = make();
    if (ok()) tf.TF_ShapeInferenceContextSubshape(context_, whole, start, end, handle, status_);
    return handle;
  }
  TF_ShapeHandle* joined(TF_ShapeHandle* first, TF_ShapeHandle* second) {
    TF_ShapeHandle* handle = make();
    if (ok()) tf.TF_ShapeInferenceContextConcatenateShapes(context_, first, second, handle, status_);
    return handle;
  }
  void unknown() { tf.TF_ShapeInferenceContextSetUnknownShape(context_, status_); }
  void output(int index, TF_ShapeHandle* handle) {
    if (ok()) tf.TF_ShapeInferenceContextSetOutput(context_, index, handle, status_);
  }

 private:
  bool ok() const { return tf.TF_GetCode(status_) == TF_OK; }
  TF_ShapeHandle* make() { return handles_[count_++] = tf.TF_NewShapeHandle(); }
  TF_ShapeInferenceContext* context_;
  TF_Status* status_;
  TF_ShapeHandle* handles_[16];
  int count_ = 0;
};

void forward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  shapes.unknown();  // how many steps `hidden` has depends on `keep`, which the C API does not show here
  shapes.output(0, shapes.joined(shapes.part(0, 0, 1), shapes.part(3, 1, 2)));
}

void backward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  shapes.unknown();
  for (int index = 1; index <= 4; ++index) shapes.output(index + 1, shapes.input(index));
}

bool register_op(const char* name, std::initializer_list<const char*> inputs, std::initializer_list<const char*> outputs,
                 std::initializer_list<const char*> attributes,
                 void (*shapes)(TF_ShapeInferenceContext*, TF_Status*), void* (*make)(TF_OpKernelConstruction*),
                 void (*compute)(void*, TF_OpKernelContext*)) {
  Status status;
  TF_OpDefinitionBuilder* op = tf.TF_NewOpDefinitionBuilder(name);
  for (const char* input : inputs) tf.TF_OpDefinitionBuilderAddInput(op, input);
  for (const char* output : outputs) tf.TF_OpDefinitionBuilderAddOutput(op, output);
  for (const char* attribute : attributes) tf.TF_OpDefinitionBuilderAddAttr(op, attribute);
  tf.TF_OpDefinitionBuilderSetShapeInferenceFunction(op, shapes);
  tf.TF_RegisterOpDefinition(op, status);
  if (!status.ok()) return false;
  tf.TF_RegisterKernelBuilder(name, tf.TF_NewKernelBuilder(name, "CPU", make, compute, destroy), status);
  return status.ok();
}

[[maybe_unused]] const bool registered =
    find_tensorflow() &&
    register_op("KerasVrnnRecurrence",
                {"x: float", "state: float", "kernel: float", "recurrent_kernel: float", "bias: float", "mask: bool",
                 "recurrent_mask: float"},
                {"last: float", "hidden: float"},
                {"activation: int", "reverse: bool", "keep: int", "threads: int", "instructions: int"}, forward_shapes,
                create_forward, compute_forward) &&
    register_op("KerasVrnnRecurrenceGradient",
                {"x: float", "state: float", "kernel: float", "recurrent_kernel: float", "bias: float", "mask: bool",
                 "recurrent_mask: float", "hidden: float", "d_last: float", "d_hidden: float"},
                {"dz: float", "dx: float", "d_state: float", "d_kernel: float", "d_recurrent_kernel: float",
                 "d_bias: float"},
                {"activation: int", "reverse: bool", "inputs: bool", "threads: int", "instructions: int"},
                backward_shapes, create_backward, compute_backward);

}  // namespace
}  // namespace keras_vrnn

// The instructions that version `index` of the code uses, "" where this machine has none of it.
extern "C" __attribute__((visibility("default"))) const char* keras_vrnn_instructions(int index) {
  const keras_vrnn::Kernels* kernels = keras_vrnn::kernels(index);
  return kernels ? kernels->name : "";
}
