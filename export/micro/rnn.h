// A recurrent model on TFLite Micro: begin once, reset before each sequence, and feed one step after the other.
//
// Uses the sources that `keras-vrnn export --c-array` writes. For a streaming file with explicit state a step is one
// time step; for a whole-sequence file it is a whole sequence, without a state to reset.

#ifndef RNN_H_
#define RNN_H_

#include <cstddef>
#include <cstring>

#include "model_data.h"
#include "model_ops.h"
#include "model_tensors.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

class Rnn {
 public:
  static_assert(model::kResourceVariables == 0, "export the model with state='explicit'");

  Rnn() : interpreter_(tflite::GetModel(model_data), resolver_, arena_, model::kArenaSize) {}

  // False if the arena is too small or an operator is missing; TFLite Micro's log says which.
  bool Begin() {
    if (model::RegisterOps(resolver_) != kTfLiteOk) return false;
    if (interpreter_.AllocateTensors() != kTfLiteOk) return false;
    Reset();
    return true;
  }

  // Sets every state to zero; call it before each sequence.
  void Reset() {
    for (std::size_t k = 0; k < model::kStates.size(); ++k) {
      const model::StateType zero = model::Quantize<model::StateType>(0.0f, model::kStates[k].in);
      for (int n = 0; n < model::kStates[k].in.size; ++n) states_[k][n] = zero;
    }
  }

  // Takes kInputs[0].size real values and gives kOutputs[0].size. False if TFLite Micro reports an error.
  bool Step(const float* x, float* y) {
    const model::Tensor& in = model::kInputs[0];
    model::Input0* input = Input<model::Input0>(in);
    for (int n = 0; n < in.size; ++n) input[n] = model::Quantize<model::Input0>(x[n], in);
    if (!Invoke()) return false;
    const model::Tensor& out = model::kOutputs[0];
    const model::Output0* output = Output<model::Output0>(out);
    for (int n = 0; n < out.size; ++n) y[n] = model::Dequantize(output[n], out);
    return true;
  }

  // For several inputs or outputs, or without floating point: fill Input, call Invoke, read Output.
  template <class T>
  T* Input(const model::Tensor& tensor) {
    return static_cast<T*>(interpreter_.input(tensor.index)->data.data);
  }

  template <class T>
  const T* Output(const model::Tensor& tensor) {
    return static_cast<const T*>(interpreter_.output(tensor.index)->data.data);
  }

  // Runs the model once, from the states that the last run left.
  bool Invoke() {
    // The states are stored here, not in the interpreter's inputs, whose memory it may use for other tensors.
    for (std::size_t k = 0; k < model::kStates.size(); ++k) {
      const model::Tensor& in = model::kStates[k].in;
      std::memcpy(Input<void>(in), states_[k], in.size * sizeof(model::StateType));
    }
    if (interpreter_.Invoke() != kTfLiteOk) return false;
    for (std::size_t k = 0; k < model::kStates.size(); ++k) {
      const model::Tensor& out = model::kStates[k].out;
      std::memcpy(states_[k], Output<void>(out), out.size * sizeof(model::StateType));
    }
    return true;
  }

 private:
  // At least one element each: C++ has no empty arrays.
  static constexpr std::size_t kCount = model::kStates.empty() ? 1 : model::kStates.size();
  static constexpr std::size_t kSize = model::kLargestState > 0 ? model::kLargestState : 1;

  alignas(16) unsigned char arena_[model::kArenaSize];
  model::StateType states_[kCount][kSize];
  model::OpResolver resolver_;
  tflite::MicroInterpreter interpreter_;
};

#endif  // RNN_H_
