"""The windows that convolutions and poolings over time read."""

from keras import ops


def padding(layer, steps, size, dilation=1):
    """Returns how many steps of padding a layer reads before and after its input.

    Args:
        layer: a Keras layer with `padding` and `strides`.
        steps: the length of its input, None if it varies.
        size: the number of steps in a window.
        dilation: the distance between two of them.

    Raises:
        ValueError: the padding depends on the length, and the length varies.
    """
    reach, stride = (size - 1) * dilation + 1, layer.strides[0]
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "causal":
        return reach - 1, 0
    if stride > 1 and steps is None:
        raise ValueError(
            f"layer {layer.name!r} ({type(layer).__name__}): the padding 'same' with strides={stride} depends on the "
            "length of the sequence, which varies. Give the model an Input of fixed length, or use padding='valid'."
        )
    total = reach - 1 if stride == 1 else max((-(-steps // stride) - 1) * stride + reach - steps, 0)
    return total // 2, total - total // 2


def views(x, ends, size, stride, dilation=1):
    """Returns what the windows read at each of their positions, `size` tensors (batch, results, channels).

    Args:
        x: (batch, time, channels).
        ends: the steps of zeros before and after.
        size, stride, dilation: of the window.
    """
    padded = ops.pad(x, ((0, 0), ends, (0, 0)))
    reach = (size - 1) * dilation
    starts = [k * dilation for k in range(size)]
    return [padded[:, start : start - reach or None : stride] for start in starts]
