// Registers the recurrence and its gradient with TensorFlow, when the library is loaded.
#include <dlfcn.h>

#include <initializer_list>

#include "calls.h"
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
  void fail(Code code, const char* message) {
    if (ok()) tf.TF_SetStatus(status_, static_cast<TF_Code>(code), message);
  }

  int rank(int index) { return input(index) ? tf.TF_NumDims(input(index)) : 0; }
  int64_t size(int index, int axis) { return tf.TF_Dim(input(index), axis); }
  template <class T>
  const T* numbers(int index) { return static_cast<const T*>(tf.TF_TensorData(input(index))); }

  float* output(int index, std::initializer_list<int64_t> shape) {
    if (!ok()) return nullptr;
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    TF_Tensor*& tensor = held_[kInputs + index];
    tensor = tf.TF_AllocateOutput(context_, index, TF_FLOAT, shape.begin(), static_cast<int>(shape.size()),
                                  count * sizeof(float), status_);
    return ok() && count ? static_cast<float*>(tf.TF_TensorData(tensor)) : nullptr;
  }

 private:
  const TF_Tensor* input(int index) {
    TF_Tensor*& tensor = held_[index];
    if (ok() && !tensor) tf.TF_GetInput(context_, index, &tensor, status_);
    return ok() ? tensor : nullptr;
  }

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
  if (const char* message = status.ok() ? fault(*attributes) : nullptr)
    tf.TF_SetStatus(status, TF_INVALID_ARGUMENT, message);
  if (!status.ok()) tf.TF_OpKernelConstruction_Failure(construction, status);
  return attributes;
}

void* create_forward(TF_OpKernelConstruction* construction) { return create(construction, false); }
void* create_backward(TF_OpKernelConstruction* construction) { return create(construction, true); }
void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

void compute_forward(void* kernel, TF_OpKernelContext* tensorflow) {
  Context context(tensorflow);
  call_forward(context, *static_cast<Attributes*>(kernel));
}

void compute_backward(void* kernel, TF_OpKernelContext* tensorflow) {
  Context context(tensorflow);
  call_backward(context, *static_cast<Attributes*>(kernel));
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
