"""The options of `export`, checked in one place before any work starts."""

import numbers
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from keras_vrnn import _checks
from keras_vrnn.quantization.schemes import SCHEMES, Scheme
from keras_vrnn.tflite.card import Card

Form = Literal["sequence", "unrolled", "streaming"]
QuantizationName = Literal["float32", "float16", "dynamic", "int8", "int8x4", "int16x8"]
Io = Literal["int8", "int16", "float32"]
State = Literal["explicit", "internal"]
CalibrationMethod = Literal["minmax", "percentile"]
Timesteps = int | Literal["data"] | None


class ExportOptions(TypedDict, total=False):
    """Keywords of `export` for a model that becomes one file, except `overwrite`."""

    form: Form
    quantization: QuantizationName | None
    io: Io | None
    state: State
    batch_size: int
    calibration_data: Any
    calibration: CalibrationMethod
    max_error: float
    timesteps: Timesteps
    max_timesteps: int | None
    chunk: int
    card: Card | None
    progress: bool


@dataclass(frozen=True)
class Options:
    """The options of `export`, as documented there."""

    form: Form
    quantization: QuantizationName
    io: Io | None
    state: State
    batch_size: int
    calibration: CalibrationMethod
    max_error: float
    timesteps: Timesteps = "data"
    max_timesteps: int | None = None
    chunk: int = 1

    def __post_init__(self):
        _one_of("form", self.form, get_args(Form))
        _one_of("quantization", self.quantization, tuple(SCHEMES))
        _one_of("state", self.state, get_args(State))
        _one_of("calibration", self.calibration, get_args(CalibrationMethod))
        _checks.positive_int("batch_size", self.batch_size)
        limit = self.max_error
        if isinstance(limit, bool) or not isinstance(limit, numbers.Real) or not limit > 0:
            raise _checks.refused(
                "max_error", "be a positive number, relative to the range of an output", limit
            )
        own = self.scheme.dtype.name
        if self.io not in (None, own, "float32"):
            allowed = f"{own!r} (the default) or 'float32'" if self.integer else "'float32'"
            raise ValueError(
                f"`io` must be {allowed} with quantization={self.quantization!r}. Received: io={self.io!r}."
            )
        if self.state == "internal" and self.form != "streaming":
            raise ValueError(
                f"`state` must be 'explicit' with form={self.form!r}, where every invoke starts from zero. "
                "Received: state='internal'. Choose form='streaming' to keep a state."
            )
        self._check_length()

    def _check_length(self):
        _checks.positive_int("chunk", self.chunk)
        if self.chunk > 1 and not self.streaming:
            raise ValueError(
                f"`chunk` must be 1 with form={self.form!r}, where every invoke takes a whole sequence. "
                f"Received: chunk={self.chunk}. Choose form='streaming'."
            )
        if self.max_timesteps is not None:
            _checks.positive_int("max_timesteps", self.max_timesteps)
            if self.timesteps is not None:
                raise ValueError(
                    "`max_timesteps` must be left out, except with timesteps=None, for a file that takes any number of "
                    f"steps up to it. Received: timesteps={self.timesteps!r}, max_timesteps={self.max_timesteps}."
                )
        if self.timesteps == "data":
            return
        if self.timesteps is not None:
            _checks.positive_int("timesteps", self.timesteps)
        allowed = ("sequence",) if self.any_length else ("sequence", "unrolled")
        if self.form not in allowed:
            fix = "use `chunk` for several steps an invoke" if self.streaming else "choose form='sequence'"
            raise ValueError(
                f"`timesteps` must be left out with form={self.form!r}. Received: timesteps={self.timesteps!r}; {fix}."
            )

    @property
    def scheme(self) -> Scheme:
        """The quantization scheme."""
        return SCHEMES[self.quantization]

    @property
    def integer(self) -> bool:
        """Whether the signals are integers, with scales measured on calibration data."""
        return self.scheme.integer

    @property
    def streaming(self) -> bool:
        """Whether one invoke takes `chunk` time steps and continues from the last."""
        return self.form == "streaming"

    @property
    def unrolled(self) -> bool:
        """Whether the steps are written one after another instead of as a loop."""
        return self.form == "unrolled" or (self.streaming and self.chunk == 1)

    @property
    def any_length(self) -> bool:
        """Whether the file takes any number of time steps up to a maximum."""
        return self.timesteps is None

    @property
    def length(self) -> int | None:
        """The number of time steps that the arguments give, or the largest; None for that of the data."""
        return self.timesteps if isinstance(self.timesteps, int) else self.max_timesteps


def _one_of(name, value, choices):
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"`{name}` must be one of {listed}. Received: {name}={value!r}.")
