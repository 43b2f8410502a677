"""Layers that compute the problems of `reference`."""

import keras_vrnn as kv


def layer_with_weights(problem, layer_class=None, **kwargs):
    """A layer that computes `problem`: same weights, activation and direction."""
    layer = (layer_class or kv.VanillaRNN)(
        problem.recurrent_kernel.shape[0],
        activation=problem.activation,
        use_bias=problem.bias is not None,
        go_backwards=problem.go_backwards,
        **kwargs,
    )
    layer.build(problem.x.shape)
    weights = [problem.kernel, problem.recurrent_kernel, problem.bias]
    layer.set_weights([w for w in weights if w is not None])
    return layer


def call(layer, problem, **kwargs):
    if problem.initial_state is not None:
        kwargs["initial_state"] = problem.initial_state.astype("float32")
    return layer(problem.x.astype("float32"), mask=problem.mask, **kwargs)
