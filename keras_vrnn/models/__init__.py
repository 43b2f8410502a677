"""Whole models: many-to-one, many-to-many, one-to-many and sequence-to-sequence."""

from keras_vrnn._registration import registering

with registering():
    from keras_vrnn.hypotheses import Hypotheses
    from keras_vrnn.models.attention import AdditiveAttention
    from keras_vrnn.models.configurations import many_to_many, many_to_one, one_to_many
    from keras_vrnn.models.encoder_decoder import EncoderDecoder
    from keras_vrnn.models.losses import SequenceAccuracy, TokenAccuracy, TokenCrossentropy

__all__ = [
    "AdditiveAttention",
    "EncoderDecoder",
    "Hypotheses",
    "SequenceAccuracy",
    "TokenAccuracy",
    "TokenCrossentropy",
    "many_to_many",
    "many_to_one",
    "one_to_many",
]


def __dir__() -> list[str]:
    return __all__
