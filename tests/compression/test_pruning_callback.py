"""The callback logs the sparsities of a pruned model, and refuses any other model."""

import numpy as np
import pytest
from small_recurrent_models import X, Y, small_model

from keras_vrnn import compression
from keras_vrnn.compression.pruning import masks_of, sparsities


def test_logs_have_the_sparsity_of_each_matrix():
    pruned = compression.prune(small_model(), compression.PolynomialDecay(0.0, 0.5, 0, 9, frequency=3))
    pruned.compile("sgd", "mse", jit_compile=False)
    history = pruned.fit(X, Y, 8, epochs=2, verbose=0, callbacks=[compression.PruningCallback()]).history
    paths = list(sparsities(pruned))
    assert {f"sparsity/{path}" for path in paths} == {
        name for name in history if name.startswith("sparsity/")
    }
    # Prunings at steps 0 and 3 in the first epoch, 6 and 9 in the second: 0.5·(1 - (1 - step/9)³).
    shares = [history[f"sparsity/{path}"] for path in paths]
    sizes = np.array([np.prod(masks_of(pruned)[path].pruning_mask.shape) for path in paths])
    expected = [np.round(0.5 * (1 - (1 - step / 9) ** 3) * sizes) / sizes for step in (3, 9)]
    np.testing.assert_allclose(np.transpose(shares)[0], expected[0])
    np.testing.assert_allclose(history["sparsity"], np.transpose(shares) @ sizes / sizes.sum())


def test_the_callback_and_strip_pruning_need_a_pruned_model():
    model = small_model()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r'Sequential ".*" is not pruned.*kv\.compression.prune'):
        model.fit(X, Y, verbose=0, callbacks=[compression.PruningCallback()])
    with pytest.raises(ValueError, match="is not pruned"):
        compression.strip_pruning(model)
