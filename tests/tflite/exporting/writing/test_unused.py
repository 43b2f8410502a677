"""What nothing uses is taken out of a file."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from small_graphs import finished, new_graph, run

from keras_vrnn.tflite.exporting.writing import edges, unused
from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

X = np.ones((1, 3), np.float32)


def test_tensors_buffers_and_codes_that_nothing_uses():
    file, main = new_graph()
    main.constant("dead", np.full((1, 3), 7, np.float32))
    x = main.tensor("x", (1, 3), np.float32)
    file.operator_code("SOFTMAX")
    y = op.add(main, "y", x, main.constant("live", 2 * X), None)
    edges.sign(file, "serving_default", 0, {"x": x}, {"y": y})
    content = finished(file, [x], [y])
    again = ModelFile(content)
    assert sorted(t.name.decode() for t in again.main.subgraph.tensors) == ["live", "x", "y"]
    assert [again.operator_name(o) for o in again.main.subgraph.operators] == ["ADD"]
    assert len(again.model.operatorCodes) == 1
    assert len(again.model.buffers) == 2 + len(again.model.metadata)  # the empty one and the constant
    (signature,) = again.model.signatureDefs
    assert again.main.subgraph.tensors[signature.outputs[0].tensorIndex].name == b"y"
    np.testing.assert_array_equal(run(content, X)[0], 3 * X)


def test_calibrated_ranges_go_scales_stay():
    file, main = new_graph()
    x = main.tensor("x", (1, 3), np.float32)
    parameters = schema.QuantizationParametersT()
    parameters.min, parameters.max = [-1.0], [1.0]
    main.subgraph.tensors[x].quantization = parameters
    main.subgraph.inputs = main.subgraph.outputs = [x]
    unused.remove(file)
    assert main.subgraph.tensors[0].quantization is None
