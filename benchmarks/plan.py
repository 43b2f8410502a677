"""What is measured, as data: shapes, contenders, workloads, and the bars that the results should reach."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of one case."""

    batch: int
    time: int
    features: int
    units: int

    def __str__(self):
        return f"{self.batch}×{self.time}×{self.features}→{self.units}"


GRID = (
    Shape(32, 32, 16, 32),
    Shape(32, 96, 32, 64),
    Shape(64, 96, 64, 128),
    Shape(64, 256, 128, 256),
    Shape(128, 64, 256, 512),
    Shape(32, 2000, 32, 64),
)
QUICK_GRID = (Shape(8, 12, 4, 16),)
# Time steps, units and batch size, one at a time.
SCALING = (
    *(Shape(32, time, 32, 64) for time in (8, 32, 128, 512)),
    *(Shape(32, 96, 32, units) for units in (8, 16, 32, 128, 256)),
    *(Shape(batch, 96, 32, 64) for batch in (1, 8, 128, 512)),
)
LONG = Shape(32, 2000, 32, 64)
QUICK_LONG = Shape(32, 500, 8, 64)  # its memory grows by more than the noise of a process, a few MiB


@dataclasses.dataclass(frozen=True)
class Step:
    """One timed call: a forward pass, or a forward pass, mean squared error and gradients without an update.

    Attributes:
        title: Heading of its table.
        sequences: Whether the layer returns h of all steps, with a loss over all of them, or only the last h.
        gradients: Whether gradients are computed.
        input_gradient: Whether they include the gradient of x, as for a layer above another one.
        shapes: What it is measured with.
    """

    title: str
    sequences: bool
    gradients: bool
    input_gradient: bool = False
    shapes: tuple = GRID


STEPS = {
    "train": Step("Train step, all outputs: forward, loss, gradients of weights and input", True, True, True),
    "train-last": Step("Train step, last output: forward, loss, gradients of the weights", False, True),
    "forward": Step("Forward pass, all outputs", True, False),
    "scaling": Step("Train step, last output, one size changed at a time", False, True, shapes=SCALING),
}


@dataclasses.dataclass(frozen=True)
class Contender:
    """A library in one configuration.

    Attributes:
        implementation: Function of `steps.py` that builds the step: "keras", "torch" or "gemm".
        package: Package of the layer and the model: "keras" or "keras_vrnn".
        backend: Module that does the arithmetic; for Keras, its backend.
        jit: Whether XLA compiles the step. On the JAX backend it always does.
        native: Whether layers of this package may run on the native kernel.
    """

    implementation: str
    package: str = "keras"
    backend: str = "tensorflow"
    jit: bool = False
    native: bool = False


CONTENDERS = {
    "Keras graph": Contender("keras"),
    "Keras XLA": Contender("keras", jit=True),
    "Keras JAX": Contender("keras", backend="jax", jit=True),
    "torch": Contender("torch", package="torch", backend="torch"),
    "VanillaRNN graph": Contender("keras", package="keras_vrnn"),
    "VanillaRNN XLA": Contender("keras", package="keras_vrnn", jit=True),
    "VanillaRNN native": Contender("keras", package="keras_vrnn", native=True),
    "VanillaRNN JAX": Contender("keras", package="keras_vrnn", backend="jax", jit=True),
    "VanillaRNN native JAX": Contender("keras", package="keras_vrnn", backend="jax", jit=True, native=True),
    "GEMM": Contender("gemm", package="numpy", backend="numpy"),
}
FIT_CONTENDERS = {
    "Keras": Contender("keras"),
    "Keras JAX": Contender("keras", backend="jax"),
    "kv.Model": Contender("keras", package="keras_vrnn"),
    "kv.Model native": Contender("keras", package="keras_vrnn", native=True),
}
MEMORY_CONTENDERS = ("Keras graph", "Keras XLA", "VanillaRNN graph", "VanillaRNN XLA", "VanillaRNN native")
QUICK_MEMORY_CONTENDERS = ("Keras XLA", "VanillaRNN XLA")


@dataclasses.dataclass(frozen=True)
class FitModel:
    """A small model as users write it.

    Attributes:
        shape: Batch size, time steps, input features, units.
        kind: "last" (Dense on the last output), "sequence" (Dense on each) or "text" (masked tokens, Embedding).
        updates: Updates in one timed call of `fit`.
    """

    shape: Shape
    kind: str
    updates: int

    def __str__(self):
        return f"{self.kind} {self.shape}"


FIT_MODELS = (
    FitModel(Shape(32, 32, 16, 32), "last", 300),
    FitModel(Shape(32, 32, 16, 32), "sequence", 300),
    FitModel(Shape(32, 100, 16, 32), "text", 300),
    FitModel(Shape(32, 96, 32, 64), "last", 200),
    FitModel(Shape(64, 96, 64, 128), "last", 100),
)
FIRST_FIT_MODELS = (
    FitModel(Shape(32, 32, 16, 32), "last", 50),
    FitModel(Shape(32, 96, 32, 64), "last", 50),
)
# Section -> method and `verbose`.
FIT_SECTIONS = {
    "fit": ("fit", 1),
    "fit-silent": ("fit", 0),
    "evaluate": ("evaluate", 0),
    "predict": ("predict", 0),
}
QUICK_FIT_MODELS = (FitModel(Shape(8, 12, 4, 16), "last", 20),)


@dataclasses.dataclass(frozen=True)
class Bar:
    """A ratio to reach: the smallest median of `peers` over the smallest of `ours`, or the inverse.

    Attributes:
        title: Text in the table.
        sections: Sections whose medians are compared.
        peers, ours: Contenders. If there are several, the one with the smallest median counts in each case.
        at_least: Lower bound of peers / ours, or None.
        at_most: Upper bound of ours / peers, or None.
        units: Smallest and largest number of units of the cases that count.
    """

    title: str
    sections: tuple
    peers: tuple
    ours: tuple
    at_least: float = None
    at_most: float = None
    units: tuple = (1, 10**9)


_OURS = ("VanillaRNN graph", "VanillaRNN XLA")
_KV = ("kv.Model",)
_NATIVE = ("VanillaRNN native",)
_NATIVE_JAX = ("VanillaRNN native JAX",)
_KV_NATIVE = ("kv.Model native",)
_KERAS = ("Keras graph", "Keras XLA")
_TRAIN = ("train", "train-last")
BARS = (
    Bar("train step, against the better of Keras graph and XLA", _TRAIN, _KERAS, _OURS, at_least=1.5),
    Bar("train step, against torch.nn.RNN", _TRAIN, ("torch",), _OURS, at_least=3.0),
    Bar(
        "train step, over the bare GEMMs, 128 units and more",
        _TRAIN,
        ("GEMM",),
        _OURS,
        None,
        1.3,
        (128, 10**9),
    ),
    Bar("forward, against Keras XLA", ("forward",), ("Keras XLA",), _OURS, at_least=1.0),
    Bar("fit of up to 64 units, against Keras", ("fit",), ("Keras",), _KV, 3.0, None, (1, 64)),
    Bar("fit of up to 64 units, against Keras on JAX", ("fit",), ("Keras JAX",), _KV, 1.5, None, (1, 64)),
    Bar(
        "native fit of up to 64 units, against Keras on JAX",
        ("fit",),
        ("Keras JAX",),
        _KV_NATIVE,
        1.5,
        None,
        (1, 64),
    ),
    Bar("fit, against Keras' defaults, up to 128 units", ("fit",), ("Keras",), _KV, 2.0, None, (1, 128)),
    Bar("fit without progress bar, same", ("fit-silent",), ("Keras",), _KV, 2.0, None, (1, 128)),
    Bar("peak memory, XLA against Keras XLA", ("memory",), _KERAS[1:], _OURS[1:], at_most=0.5),
    Bar("peak memory, graph against Keras graph", ("memory",), _KERAS[:1], _OURS[:1], at_most=0.5),
    Bar("peak memory, native against Keras graph", ("memory",), _KERAS[:1], _NATIVE, at_most=0.5),
    Bar(
        "native train step, against the best of Keras", _TRAIN, (*_KERAS, "Keras JAX"), _NATIVE, at_least=1.8
    ),
    Bar(
        "native train step, against torch.nn.RNN, up to 128 units",
        _TRAIN,
        ("torch",),
        _NATIVE,
        3.0,
        None,
        (1, 128),
    ),
    Bar(
        "native train step, against torch.nn.RNN, 256 units",
        _TRAIN,
        ("torch",),
        _NATIVE,
        1.8,
        None,
        (256, 256),
    ),
    Bar(
        "native train step, against torch.nn.RNN, 512 units",
        _TRAIN,
        ("torch",),
        _NATIVE,
        1.3,
        None,
        (512, 512),
    ),
    Bar("native train step, over the bare GEMMs", _TRAIN, ("GEMM",), _NATIVE, at_most=1.0),
    # Recorded without a bound.
    Bar("train step, against SimpleRNN on JAX", _TRAIN, ("Keras JAX",), _OURS),
    Bar("native train step on JAX, against SimpleRNN on JAX", _TRAIN, ("Keras JAX",), _NATIVE_JAX),
    Bar("native train step on JAX, against VanillaRNN on JAX", _TRAIN, ("VanillaRNN JAX",), _NATIVE_JAX),
    Bar("native forward on JAX, against SimpleRNN on JAX", ("forward",), ("Keras JAX",), _NATIVE_JAX),
    Bar("fit, against Keras on JAX", ("fit",), ("Keras JAX",), _KV),
    Bar("first fit of 50 updates, against Keras' defaults", ("first-fit",), ("Keras",), _KV),
    Bar("evaluate, against Keras' defaults", ("evaluate",), ("Keras",), _KV),
    Bar("predict, against Keras' defaults", ("predict",), ("Keras",), _KV),
    Bar("native fit, against Keras' defaults", ("fit",), ("Keras",), _KV_NATIVE),
    Bar("native first fit of 50 updates, against Keras' defaults", ("first-fit",), ("Keras",), _KV_NATIVE),
    Bar("native evaluate, against Keras' defaults", ("evaluate",), ("Keras",), _KV_NATIVE),
    Bar("native predict, against Keras' defaults", ("predict",), ("Keras",), _KV_NATIVE),
    Bar("native forward, against the best of Keras", ("forward",), (*_KERAS, "Keras JAX"), _NATIVE),
    Bar(
        "native train step, one size changed at a time, against the best of Keras",
        ("scaling",),
        (*_KERAS, "Keras JAX"),
        _NATIVE,
    ),
)
