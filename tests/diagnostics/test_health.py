"""The rules by which a training is judged, one by one, on given numbers."""

import dataclasses

import numpy as np
import pytest
from flows import gradient_flow_of, layer_flow

from keras_vrnn.diagnostics import health
from keras_vrnn.diagnostics.remedies import Traits

RULES = health.Thresholds(
    min_steps=10,
    clipped_share=0.5,
    clipped_ratio=10.0,
    near_zero=1e-6,
    growth=10.0,
    nonfinite_share=0.05,
    horizon_share=0.25,
)
CLIPPED = ("global_clipnorm", 1.0)
STALLED = (1.0, 1.0)


def judged(norms, clipping=None, losses=(1.0,), **evidence):
    norms = np.asarray(norms, float)
    clipped_norms = np.minimum(norms, clipping[1] if clipping else np.inf)
    training = health.Training(norms, clipped_norms, clipping=clipping, losses=losses, **evidence)
    return health.judge(training, RULES).kind


def flow(decay, **options):
    return gradient_flow_of(layer_flow(decay, **options))


FADED = [1, *[1e-3] * 20]


@pytest.mark.parametrize(
    ("kind", "norms", "evidence"),
    [
        ("unknown", np.ones(9), {}),
        ("healthy", np.ones(10), {}),
        # One bad batch in 40 is bad data.
        ("healthy", [*np.ones(39), np.nan], {}),
        # inf is an overflow; NaN that comes and goes is in the data; NaN that stays is a state out of range.
        ("exploding", [*np.ones(19), np.inf], {}),
        ("broken", [*np.ones(10), np.nan, *np.ones(9)], {}),
        ("broken", np.full(20, np.nan), {}),
        ("exploding", np.full(20, np.nan), {"flow": flow([1.0, np.inf])}),
        ("exploding", [*np.full(20, 2.0), *np.full(20, np.nan)], {"clipping": CLIPPED}),
        ("exploding", [*np.geomspace(1, 1000, 20), np.nan, 3.0, np.nan, 3.0], {}),
        ("broken", np.ones(40), {"broken": ("rnn/kernel",)}),
        ("broken", np.ones(3), {"broken": ("rnn/kernel",)}),
        # Ten times the norm at the lowest loss, while the loss has risen.
        ("exploding", np.full(40, 11.0), {"best_norm": 1.0, "losses": (2.0, 2.5)}),
        ("healthy", np.full(40, 9.0), {"best_norm": 1.0, "losses": (2.0, 2.5)}),
        ("healthy", np.full(40, 11.0), {"best_norm": 1.0, "losses": (2.0, 1.5)}),
        # Within the first epoch nothing shows whether the loss falls meanwhile.
        ("healthy", np.geomspace(1, 30, 40), {}),
        # At the end of a training small norms vary by factors.
        ("healthy", np.full(40, 1e-2), {"best_norm": 1e-4, "losses": (1.0, 1e-4, 2e-4)}),
        ("vanishing", np.full(40, 1e-7), {}),
        ("vanishing", np.full(40, 1e-7), {"losses": (1.0, 0.9)}),
        ("healthy", np.full(40, 1e-7), {"losses": (1.0, 1e-6)}),
        # A second `fit` of a model that has converged.
        ("healthy", np.full(40, 1e-7), {"losses": (1e-9, 1e-9)}),
        ("healthy", np.full(40, 1e-7), {"flow": flow(np.ones(20), relative_loss=0.01)}),
        ("vanishing", np.ones(40), {"flow": flow(FADED)}),
        ("healthy", np.ones(40), {"flow": flow(FADED), "is_learning": True}),
        ("healthy", np.ones(40), {"flow": flow(FADED, relative_loss=0.1)}),
        ("healthy", np.ones(40), {"flow": flow(np.ones(20))}),
        ("exploding", np.ones(40), {"flow": flow(np.geomspace(1, 200, 20))}),
        ("healthy", np.ones(40), {"flow": flow(np.geomspace(1, 200, 20), amplification=2.0)}),
        ("healthy", np.ones(40), {"flow": flow(np.geomspace(1, 200, 20), relative_loss=0.1)}),
        # Most steps, by much, and nothing gained.
        ("clip-bound", np.full(40, 20.0), {"clipping": CLIPPED, "losses": STALLED}),
        ("healthy", np.full(40, 20.0), {"clipping": CLIPPED, "losses": (1.0, 0.9)}),
        ("healthy", np.full(40, 20.0), {"clipping": CLIPPED, "losses": (1.0, 0.05, 0.05)}),
        ("healthy", np.full(40, 20.0), {"clipping": CLIPPED}),
        ("healthy", np.full(40, 2.0), {"clipping": CLIPPED, "losses": STALLED}),
        ("healthy", [*np.full(20, 50.0), *np.full(20, 0.5)], {"clipping": CLIPPED, "losses": STALLED}),
        (
            "healthy",
            np.full(40, 20.0),
            {"clipping": CLIPPED, "losses": STALLED, "flow": flow(np.ones(20), relative_loss=0.1)},
        ),
        # The gravest first.
        ("vanishing", np.full(40, 20.0), {"clipping": CLIPPED, "losses": STALLED, "flow": flow(FADED)}),
    ],
)
def test_rules(kind, norms, evidence):
    assert judged(norms, **evidence) == kind


def test_clipping_by_variable_counts_what_it_changed():
    norms, clipped = np.full(20, 30.0), np.full(20, 2.0)
    training = health.Training(norms, clipped, clipping=("clipnorm", 1.0), losses=STALLED)
    assert health.judge(training, RULES).reason.startswith(
        "clipnorm=1 shrinks 100% of 20 steps, in the median 15-fold"
    )
    training = health.Training(norms, norms, clipping=("clipnorm", 1.0), losses=STALLED)
    assert health.judge(training, RULES).kind == "healthy"


def test_advice_against_an_explosion_repeats_nothing():
    traits = Traits("vanilla", "tanh", initializer="Orthogonal", kernel_norm=2.0, regularized=True)
    training = health.Training(
        np.full(20, 20.0), np.ones(20), clipping=CLIPPED, losses=(1.0, 2.0), best_norm=1.0, traits=traits
    )
    found = health.judge(training, RULES)
    assert found.kind == "exploding"
    assert "clipping" in found.remedy, "the traits say that the model does not clip"
    clips = dataclasses.replace(training, traits=dataclasses.replace(traits, clips=True))
    assert health.judge(clips, RULES).remedy == "Try a lower learning rate."
