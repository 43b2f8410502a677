"""Smaller models: quantization-aware training, pruned weights, and fewer units."""

from typing import TYPE_CHECKING

from keras_vrnn._lazy import names_of

if TYPE_CHECKING:
    from keras_vrnn.compression.pruning import prune as prune
    from keras_vrnn.compression.pruning import strip_pruning as strip_pruning
    from keras_vrnn.compression.pruning_callback import PruningCallback as PruningCallback
    from keras_vrnn.compression.quantization_aware import quantize_aware as quantize_aware
    from keras_vrnn.compression.schedules import ConstantSparsity as ConstantSparsity
    from keras_vrnn.compression.schedules import PolynomialDecay as PolynomialDecay
    from keras_vrnn.compression.units import prune_units as prune_units
else:  # type checkers must not see a `__getattr__`: it would make every name valid
    __all__, __getattr__, __dir__ = names_of(
        __name__,
        {
            "ConstantSparsity": "keras_vrnn.compression.schedules",
            "PolynomialDecay": "keras_vrnn.compression.schedules",
            "PruningCallback": "keras_vrnn.compression.pruning_callback",
            "prune": "keras_vrnn.compression.pruning",
            "prune_units": "keras_vrnn.compression.units",
            "quantize_aware": "keras_vrnn.compression.quantization_aware",
            "strip_pruning": "keras_vrnn.compression.pruning",
        },
        extras=dict.fromkeys(("ConstantSparsity", "PolynomialDecay"), "tensorflow_model_optimization"),
    )
