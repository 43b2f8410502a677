"""The recurrent layers that models are built of, by name.

vanilla   h_t = φ(x_t·W_x + h_{t-1}·W_h + b)                          smallest and fastest
fast      h_t = α·φ(x_t·W_x + h_{t-1}·W_h + b) + β·h_{t-1}            remembers longer, for two more weights
gru       gates per unit (Cho et al. 2014)                            three times the weights
lstm      gates and a cell state (Hochreiter & Schmidhuber 1997)      four times the weights
"""

from typing import Any, Literal

from keras_vrnn import _checks as checks
from keras_vrnn.layers import Bidirectional
from keras_vrnn.layers.stack import RecurrentStack, StackedFastRNN, StackedGRU, StackedLSTM, StackedVanillaRNN

CellName = Literal["vanilla", "fast", "gru", "lstm"]
STACKS: dict[str, type[RecurrentStack]] = {
    "vanilla": StackedVanillaRNN,
    "fast": StackedFastRNN,
    "gru": StackedGRU,
    "lstm": StackedLSTM,
}
LAYERS: dict[str, Any] = {cell: stack.layer_class for cell, stack in STACKS.items()}


def recurrent(cell: CellName, units: int, name: str, *, bidirectional: bool, **options: Any) -> Any:
    """Returns a recurrent layer, or both directions of it.

    Args:
        cell: A key of `LAYERS`.
        units: Its units.
        name: The name of the layer.
        bidirectional: Whether it runs in both directions.
        **options: More arguments of the layer.

    Raises:
        ValueError: There is no cell of that name, or its layer has no such option.
    """
    checks.one_of("cell", cell, LAYERS)
    # An initializer object always returns the same matrix: each layer gets its own.
    options = {n: v.clone() if hasattr(v, "clone") else v for n, v in options.items()}
    layer = LAYERS[cell](units, name=name, **options)
    return Bidirectional(layer, name=name) if checks.flag("bidirectional", bidirectional) else layer
