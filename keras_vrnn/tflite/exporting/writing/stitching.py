"""Joins the converted stock part and the written recurrences into one model with named signatures."""

from keras_vrnn.tflite.exporting.writing import (
    constants,
    edges,
    lengths,
    masks,
    metadata,
    operators,
    scales,
    tables,
    unused,
    variables,
)
from keras_vrnn.tflite.exporting.writing import (
    recurrence as recurrences,
)
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile
from keras_vrnn.tflite.reading import LENGTH, RESET

SIGNATURE = "serving_default"


def stitch(parts, stock, formats_of, value_formats, options):
    """Builds the whole model.

    Args:
        parts: the `Partition` of the Keras model.
        stock: the `ModelFile` of its converted stock part, to which the rest is added; None where the model is nothing
            but recurrences.
        formats_of: recurrence name -> `Formats`.
        value_formats: name of a float input or of a recurrence's result -> the `Quantization` that holds it.
        options: the `Options` of the export.

    Returns:
        The finished `ModelFile`, and signature -> {"inputs": names, "outputs": names}.
    """
    file = ModelFile() if stock is None else stock
    if stock is None:
        file.graph("main")
    main = file.main
    values = {}
    if stock is not None:
        values |= zip(parts.stock_inputs, map(int, main.subgraph.inputs), strict=True)
        values |= zip(parts.stock_outputs, map(int, main.subgraph.outputs), strict=True)
    for name in parts.stock_inputs:
        scales.widen(main, values[name], value_formats.get(name))
    scales.agree(main)
    tables.narrow(main)
    expected = {name: index for name, index in values.items() if name not in parts.stock_outputs}

    for name, array in parts.constants.items():
        values[name] = constants.write(main, name, array, options.scheme)
    states = _add_states(file, parts, values, formats_of, options)
    for name, spec in parts.inputs.items():
        if name not in values:
            quantization = value_formats.get(name)
            dtype = spec.dtype.as_numpy_dtype if quantization is None else options.scheme.dtype
            values[name] = main.tensor(name, spec.shape, dtype, quantization)
    steps = None
    if options.any_length:
        length = lengths.add_input(main)
        steps = lengths.at_most(main, length, parts.timesteps)
    inputs = {name: values[name] for name in parts.inputs}
    if options.io == "float32":
        inputs = {name: edges.float_input(main, index) for name, index in inputs.items()}
    for (
        name,
        mask,
    ) in parts.masks.items():  # of float inputs, where there are any: a small step is not zero there
        values[name] = masks.write(main, name, mask, values | inputs)
    for name, mask in parts.numbers.items():
        number = masks.write_number(main, name, values[mask], options.scheme.dtype)
        _connect(main, values, source=number, target=expected[name])
    kept = {}
    for recurrence in parts.recurrences:
        kept[recurrence.name] = recurrences.write(
            recurrence,
            formats_of[recurrence.name],
            file,
            values,
            options.unrolled,
            steps if recurrence.follows_inputs else None,
        )
        for made in recurrence.results:
            if made in expected:
                _connect(main, values, source=values[made], target=expected[made])

    last = {
        end: operators.shaped(main, end, kept[owner][state], main.shape(states[start]))
        for start, (owner, state, end) in parts.states.items()
    }
    made = [last.get(name, values.get(value)) for name, value in parts.outputs.items()]
    results = _distinct(main, made, [values[name] for name in parts.inputs])
    if options.io == "float32":
        results = [edges.float_output(main, index) for index in results]
    outputs = dict(zip(parts.outputs, results, strict=True))
    if options.state == "internal":
        variables.keep(file, states, dict(zip(states, last.values(), strict=True)))
    else:
        inputs |= states
        added = [name for name in last if name not in outputs]
        taken = {*inputs.values(), *outputs.values()}
        outputs |= zip(added, _distinct(main, [last[name] for name in added], taken), strict=True)
    if options.any_length:
        inputs[LENGTH] = length
    main.subgraph.inputs, main.subgraph.outputs = list(inputs.values()), list(outputs.values())
    main.sort_operators()
    scales.check(file)
    edges.sign(file, SIGNATURE, 0, inputs, outputs)
    signatures = {SIGNATURE: {"inputs": list(inputs), "outputs": list(outputs)}}
    if options.state == "internal":
        signatures[RESET] = {"inputs": [], "outputs": []}
    metadata.write(file, parts.timed if options.any_length else ())
    unused.remove(file)
    return file, signatures


def _add_states(file, parts, values, formats_of, options):
    """Adds the tensors of the initial states; returns state name -> tensor."""
    states = {}
    for recurrence in parts.recurrences:
        for name, state in zip(recurrence.initial_states, recurrence.cell.states, strict=True):
            if name in parts.states:
                shape = (options.batch_size, recurrence.cell.units)
                formats = formats_of[recurrence.name].state(state)
                states[name] = values[name] = file.main.tensor(name, shape, *formats)
    return states


def _connect(main, values, source, target):
    """Replaces `target`, a former input of the stock part, by `source`."""
    if not scales.same(main.quantization(source), main.quantization(target)):
        operators.quantize_into(main, source, target)
        return
    scales.unify(main, main.quantization(source))
    for operator in main.subgraph.operators:
        operator.inputs = [source if int(t) == target else int(t) for t in operator.inputs]
    for name, index in values.items():
        if index == target:
            values[name] = source


def _distinct(main, outputs, taken):
    """Returns one computed tensor per output, different from every other input and output, as interpreters require."""
    taken, distinct = set(taken), []
    for index in outputs:
        if index in taken or main.data(index) is not None:
            index = operators.reshape(main, "output", index, main.shape(index))
        taken.add(index)
        distinct.append(index)
    return distinct
