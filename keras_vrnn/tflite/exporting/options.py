"""What `export` may be asked for, checked in one place before any work is done."""

from dataclasses import dataclass

import numpy as np

from keras_vrnn.quantization.schemes import SCHEMES

FORMS = ("sequence", "unrolled", "streaming")
STATES = ("explicit", "internal")
CALIBRATIONS = ("minmax", "percentile")


@dataclass(frozen=True)
class Options:
    """The options of `export`, as documented there."""

    form: str
    quantization: str
    io: str | None
    state: str
    batch_size: int
    calibration: str
    max_error: float

    def __post_init__(self):
        _one_of("form", self.form, FORMS)
        _one_of("quantization", self.quantization, tuple(SCHEMES))
        _one_of("state", self.state, STATES)
        _one_of("calibration", self.calibration, CALIBRATIONS)
        size = self.batch_size
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"batch_size={size!r}: expected a positive integer.")
        limit = self.max_error
        if isinstance(limit, bool) or not isinstance(limit, (int, float, np.number)) or not limit > 0:
            raise ValueError(
                f"max_error={limit!r}: expected a positive number, the error relative to an output's range."
            )
        own = self.scheme.dtype.name
        if self.io not in (None, own, "float32"):
            raise ValueError(
                f"io={self.io!r}: inputs and outputs of a file with quantization={self.quantization!r} are "
                + (f"{own!r} (the default) or 'float32'." if self.integer else "'float32'.")
            )
        if self.state == "internal" and self.form != "streaming":
            raise ValueError(
                f"state='internal': with form={self.form!r} every invoke starts from zero and keeps nothing; "
                "choose form='streaming'."
            )

    @property
    def scheme(self):
        """The quantization scheme."""
        return SCHEMES[self.quantization]

    @property
    def integer(self):
        """Whether the signals are integers, whose scales calibration data must give."""
        return self.scheme.integer

    @property
    def streaming(self):
        """Whether one invoke takes one time step."""
        return self.form == "streaming"

    @property
    def unrolled(self):
        """Whether the steps are written one after the other instead of as a loop."""
        return self.form != "sequence"


def _one_of(argument, value, choices):
    if value not in choices:
        raise ValueError(f"{argument}={value!r}: expected one of {', '.join(map(repr, choices))}.")
