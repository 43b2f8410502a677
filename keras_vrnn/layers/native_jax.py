"""The native kernel as part of JAX: three primitives, which JAX transforms as it does its own.

recurrence  h_T and, if asked for, h of all steps                the kernel
tangents    how they change as the arguments do, linear in that  JAX's operations
gradient    the transpose of `tangents`: BPTT                    the kernel

JAX's own operations define what each primitive computes (`blocks.over_time`). JAX differentiates, vectorizes and
exports this definition, and compiles it for anything but a CPU, so that every transformation works as it does without
the kernel. XLA calls the kernel only in a program for a CPU, and only where a primitive is left untransformed.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from keras import ops

from keras_vrnn.layers import blocks
from keras_vrnn.layers.block import Block, given
from keras_vrnn.native import jax_kernel
from keras_vrnn.native.kernel import ALL, FOR_GRADIENT, NOTHING, Recurrence


class Call(NamedTuple):
    """What a primitive depends on beside its arrays.

    The arrays: the masks that are given, x, h_0, W_h, W_x, b if there is one, and others.
    """

    block: Block  # without its recurrent mask, which is an array
    mask: bool
    recurrent_mask: bool
    bias: bool
    keep: int  # as in `kernel`; ALL where the block returns sequences
    settings: tuple  # items of `jax_kernel.settings`

    def split(self, arrays):
        """(mask, recurrent mask), (x, h_0, W_h, W_x, *b), others; None for a mask that is not given."""
        first = self.mask + self.recurrent_mask
        masks = iter(arrays[:first])
        masks = next(masks) if self.mask else None, next(masks) if self.recurrent_mask else None
        behind = first + 4 + self.bias
        return masks, arrays[first:behind], arrays[behind:]

    def for_kernel(self, masks, moving):
        x, state, recurrent_kernel, kernel, *bias = moving
        return Recurrence(x, state, kernel, recurrent_kernel, bias[0] if bias else None, *masks)

    def outputs(self, masks, *moving):
        """(h_T, and h of all steps if the block returns them), with JAX's operations."""
        mask, recurrent_mask = masks
        block = dataclasses.replace(self.block, recurrent_mask=recurrent_mask)
        x, *others = moving
        return given(
            *blocks.over_time(block, x, None if mask is None else ops.expand_dims(mask, -1), *others)
        )


def over_time(block: Block, x: Any, mask: Any, state: Any, *weights: Any, **settings: Any) -> tuple[Any, Any]:
    """As `blocks.over_time`, with a mask (batch, time); `settings` are from `jax_kernel.settings`."""
    call = Call(
        dataclasses.replace(block, recurrent_mask=None),
        mask is not None,
        block.recurrent_mask is not None,
        len(weights) == 3,
        ALL if block.return_sequences else NOTHING,
        tuple(settings.items()),
    )
    last, *hidden = _recurrence.bind(*given(mask, block.recurrent_mask), x, state, *weights, call=call)
    return last, hidden[0] if hidden else None


# What the primitives compute with JAX's operations, and with the kernel.


def _recurrence_by_jax(*arrays, call):
    masks, moving, _ = call.split(arrays)
    if call.keep != FOR_GRADIENT:
        return call.outputs(masks, *moving)
    call = call._replace(block=dataclasses.replace(call.block, return_sequences=True))
    last, hidden = call.outputs(masks, *moving)
    if hidden.shape[1] < jax_kernel.LONG:
        return last, hidden
    hidden = ops.flip(hidden, axis=1) if call.block.reverse else hidden
    return last, ops.concatenate(
        [moving[1][:, None], hidden[:, jax_kernel.LONG_BLOCK - 1 : -1 : jax_kernel.LONG_BLOCK]], axis=1
    )


def _recurrence_by_kernel(*arrays, call):
    recurrence = call.for_kernel(*call.split(arrays)[:2])
    last, hidden = jax_kernel.forward(recurrence, dict(call.settings), call.keep)
    return (last,) if call.keep == NOTHING else (last, hidden)


def _tangents_by_jax(*arrays, call):
    """Others: what the forward pass kept, then the tangents of x and all behind it."""
    masks, moving, (_, *d_moving) = call.split(arrays)
    return jax.jvp(functools.partial(call.outputs, masks), moving, tuple(d_moving))[1]


def _gradient_by_jax(*arrays, call, arriving, inputs):
    """Others: what the forward pass kept, which counts as computed from the others, then the gradients that arrive.

    Args:
        arriving: For each output of the recurrence, whether a gradient arrives.
        inputs: Whether the results begin with dx.
    """
    masks, moving, (_, *d_outputs) = call.split(arrays)
    outputs, backward = jax.vjp(functools.partial(call.outputs, masks), *moving)
    d_outputs = iter(d_outputs)
    found = backward(
        tuple(
            next(d_outputs) if arrives else ops.zeros_like(o)
            for o, arrives in zip(outputs, arriving, strict=True)
        )
    )
    return found if inputs else found[1:]


def _gradient_by_kernel(*arrays, call, arriving, inputs):
    masks, moving, (hidden, *d_outputs) = call.split(arrays)
    d_outputs = iter(d_outputs)
    d_last, d_hidden = (next(d_outputs) if arrives else None for arrives in (*arriving, False)[:2])
    recurrence = call.for_kernel(masks, moving)
    found = jax_kernel.gradient(recurrence, dict(call.settings), hidden, d_last, d_hidden, inputs)
    bias = given(found.bias if call.bias else None)
    found_of = (found.state, found.recurrent_kernel, found.kernel, *bias)
    return (found.dx, *found_of) if inputs else found_of


# Their rules.


def _recurrence_jvp(primals, tangents, *, call):
    count = len(call.split(primals)[1])
    keeps = call._replace(keep=call.keep or FOR_GRADIENT)
    outputs = _recurrence.bind(*primals, call=keeps)
    moving = map(ad.instantiate_zeros, tangents[-count:])  # masks have no gradient
    d_outputs = _tangents.bind(*primals, outputs[1], *moving, call=keeps)
    if call.keep == FOR_GRADIENT:  # what is kept then counts as computed from the others
        d_outputs = [*d_outputs, ops.zeros_like(outputs[1])]
    return outputs[: len(d_outputs)], d_outputs


def _tangents_transpose(d_outputs, *arrays, call):
    _, moving, (_, *d_moving) = call.split(arrays)
    known = arrays[: len(arrays) - len(moving)]
    inputs = ad.is_undefined_primal(d_moving[0])
    found = _gradient.bind(
        *known,
        *(d for d in d_outputs if type(d) is not ad.Zero),
        call=call,
        arriving=tuple(type(d) is not ad.Zero for d in d_outputs),
        inputs=inputs,
    )
    found = [*([] if inputs else [None]), *found]
    of_moving = (g if ad.is_undefined_primal(d) else None for g, d in zip(found, d_moving, strict=True))
    return *(None for _ in known), *of_moving


def _jvp_of(by_jax):
    def rule(primals, tangents, **how):
        moved = [i for i, t in enumerate(tangents) if type(t) is not ad.Zero and t.dtype != jax.dtypes.float0]

        def of_moved(*values):
            arrays = list(primals)
            for i, value in zip(moved, values, strict=True):
                arrays[i] = value
            return by_jax(*arrays, **how)

        return jax.jvp(of_moved, [primals[i] for i in moved], [tangents[i] for i in moved])

    return rule


def _transpose_of(by_jax):
    def rule(d_results, *arrays, **how):
        linear = [i for i, a in enumerate(arrays) if ad.is_undefined_primal(a)]

        def of_linear(*values):
            filled = list(arrays)
            for i, value in zip(linear, values, strict=True):
                filled[i] = value
            return by_jax(*filled, **how)

        like = [jax.ShapeDtypeStruct(arrays[i].aval.shape, arrays[i].aval.dtype) for i in linear]
        found = jax.linear_transpose(of_linear, *like)(tuple(map(ad.instantiate_zeros, d_results)))
        return [found[linear.index(i)] if i in linear else None for i in range(len(arrays))]

    return rule


def _batching_of(by_jax):
    def rule(arrays, axes, **how):
        found = jax.vmap(functools.partial(by_jax, **how), in_axes=tuple(axes))(*arrays)
        return found, [0] * len(found)

    return rule


def _lowering_of(by_jax, by_kernel):
    by_jax, by_kernel = (mlir.lower_fun(function, multiple_results=True) for function in (by_jax, by_kernel))

    def rule(context, *arrays, **how):
        # A program that is exported may run where the library is not; JAX refuses to export calls of it.
        lowering = getattr(context.module_context, "lowering_parameters", None)
        exported = getattr(lowering, "for_export", True)  # where JAX no longer tells, too
        return (by_jax if exported else by_kernel)(context, *arrays, **how)

    return rule


def _primitive(name, by_jax, by_kernel=None, jvp=None, transpose=None):
    primitive = Primitive(f"keras_vrnn_{name}")
    primitive.multiple_results = True

    def compiled(*arrays, **how):
        with jax.disable_jit(False):  # or it would call itself where a user disables it
            return _compiled(primitive, tuple(how.items()))(*arrays)

    primitive.def_impl(compiled)

    def shapes(*arrays, **how):
        like = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays]
        found = jax.eval_shape(functools.partial(by_jax, **how), *like)
        return [jax.core.ShapedArray(each.shape, each.dtype) for each in found]

    primitive.def_abstract_eval(shapes)
    ad.primitive_jvps[primitive] = jvp or _jvp_of(by_jax)
    ad.primitive_transposes[primitive] = transpose or _transpose_of(by_jax)
    batching.primitive_batchers[primitive] = _batching_of(by_jax)
    mlir.register_lowering(primitive, mlir.lower_fun(by_jax, multiple_results=True))
    if by_kernel is not None:
        mlir.register_lowering(primitive, _lowering_of(by_jax, by_kernel), platform="cpu")
    return primitive


@functools.cache
def _compiled(primitive, how):
    return jax.jit(functools.partial(primitive.bind, **dict(how)))


_recurrence = _primitive("recurrence", _recurrence_by_jax, _recurrence_by_kernel, jvp=_recurrence_jvp)
_tangents = _primitive("tangents", _tangents_by_jax, transpose=_tangents_transpose)
_gradient = _primitive("gradient", _gradient_by_jax, _gradient_by_kernel)
