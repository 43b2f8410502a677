"""The node tests that ONNX ships for its RNN operator: h_t = tanh(x_t·Wᵀ + h_{t-1}·Rᵀ + b_W + b_R)."""

import warnings

import keras
import numpy as np
import pytest

import keras_vrnn as kv

pytest.importorskip("onnx", reason="needs onnx, from the extra 'dev'")


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other operators' cases overflow on purpose while they are made
        from onnx.backend.test.case.node import collect_testcases

        return {case.name: case for case in collect_testcases("RNN")}


CASES = cases()


def options(case):
    """Attributes of the case's one node; text as str."""
    node = case.model.graph.node[0]
    from onnx.helper import get_attribute_value

    found = {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def weights(tensors, direction):
    """Keras' three weights of one direction."""
    kernel, recurrent_kernel = tensors["W"][direction].T, tensors["R"][direction].T
    units = recurrent_kernel.shape[0]
    bias = tensors.get("B", np.zeros((direction + 1, 2 * units), "float32"))[direction]
    return [kernel, recurrent_kernel, bias[:units] + bias[units:]]


def test_there_are_cases():
    assert len(CASES) >= 6  # ONNX 1.23


@pytest.mark.parametrize("name", CASES)
def test_layer_gives_the_outputs_that_onnx_expects(name):
    case = CASES[name]
    node, (inputs, expected) = case.model.graph.node[0], case.data_sets[0]
    tensors = dict(zip((label for label in node.input if label), inputs, strict=True))
    wanted = dict(zip((label for label in node.output if label), expected, strict=True))
    given = options(case)
    batch_first = given.get("layout", 0) == 1
    x = tensors["X"] if batch_first else tensors["X"].transpose(1, 0, 2)

    direction, units = given.get("direction", "forward"), given["hidden_size"]
    layer = kv.VanillaRNN(
        units, return_sequences=True, return_state=True, go_backwards=direction == "reverse"
    )
    if direction == "bidirectional":
        layer = kv.Bidirectional(layer)
    layer.build(x.shape)
    layer.set_weights([w for d in range(len(tensors["W"])) for w in weights(tensors, d)])
    sequences, *states = (keras.ops.convert_to_numpy(tensor) for tensor in layer(x))

    # Keras gives the outputs of a backward layer in the order it made them; ONNX in time order.
    if direction == "reverse":
        sequences = sequences[:, ::-1]
    found = {"Y_h": np.stack(states)}
    found["Y"] = np.stack(
        np.split(sequences, len(states), axis=-1), axis=1
    )  # (batch, directions, time, units)
    if batch_first:
        found = {"Y_h": found["Y_h"].transpose(1, 0, 2), "Y": found["Y"].transpose(0, 2, 1, 3)}
    else:
        found["Y"] = found["Y"].transpose(2, 1, 0, 3)
    for label, array in wanted.items():
        assert found[label].shape == array.shape
        # ONNX computes its expected values in float32 too, in another order.
        np.testing.assert_allclose(found[label], array, rtol=1e-5, atol=1e-6)
