"""The experiments are those of the papers, a run that was stopped goes on, and the pages quote the committed report."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.evidence.{name}")


@pytest.fixture
def main(load):
    return load("__main__")


def committed():
    return json.loads((ROOT / "benchmarks/results/evidence.json").read_text(encoding="utf-8"))


def test_the_pages_quote_the_report(load):
    report = load("report")
    quoted = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert report.quoting(text, committed()) == text, page.name
        quoted += [match[1] for match in report.QUOTED.findall(text)]
    assert set(quoted) == set(load("__main__").ORDER)


def test_the_report_is_that_of_the_results(load):
    written = (ROOT / "benchmarks/results/evidence.md").read_text(encoding="utf-8")
    assert load("report").markdown(committed(), quick=False) == written
    page = (ROOT / "benchmarks/results/evidence.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_what_the_documentation_says_of_the_converter(load):
    """README.md and docs/from_converter.md: an error, a crash, and a file that is unrolled."""
    for peer in load("export_matrix").PEERS:
        found = committed()["export_matrix"]["figures"][f"stock {peer}"]["0"]
        assert "Error" in found["open batch size, float32"]["error"]
        assert "SIGSEGV" in found["loop, int8"]["error"]
        assert found["unrolled, int8"]["bytes"] > 0


def test_adding_targets_are_sums_of_the_two_marked_numbers(load):
    x, y = load("adding").sequences(np.random.default_rng(0), 2000, 10)
    numbers, marks = x[..., 0], x[..., 1]
    np.testing.assert_array_equal(marks[:, :5].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, 5:].sum(axis=1), 1)
    np.testing.assert_allclose((numbers * marks).sum(axis=1, keepdims=True), y)
    # The variance of a sum of two numbers from [0, 1) is 1/6; 2,000 of them tell it to 0.005 (one standard error).
    assert abs(np.mean((y - 1) ** 2) - 1 / 6) < 0.015


def test_copied_symbols_are_those_before_the_gap(load):
    copying = load("copying")
    x, y = copying.sequences(np.random.default_rng(0), 50)
    symbols, said = x.argmax(axis=-1), copying.SYMBOLS
    np.testing.assert_array_equal(symbols[:, :said], y[:, -said:])
    assert (y[:, :-said] == copying.BLANK).all()
    assert (np.diff(np.flatnonzero(symbols[0] == copying.CUE)) == []).all()
    assert symbols[0, -said - 1] == copying.CUE


def test_the_baseline_of_copying_is_the_loss_without_memory(load):
    copying = load("copying")
    _, y = copying.sequences(np.random.default_rng(0), 3)
    p = np.zeros((copying.STEPS, copying.KINDS + 1))
    p[: -copying.SYMBOLS, copying.BLANK] = 1
    p[-copying.SYMBOLS :, : copying.KINDS] = 1 / copying.KINDS
    losses = -np.log(p[np.arange(copying.STEPS), y])
    np.testing.assert_allclose(losses.mean(), copying.BASELINE)


def test_classes_of_temporal_order_are_the_order_of_two_symbols(load):
    x, y = load("temporal_order").sequences(np.random.default_rng(0), 500, 20)
    symbols = x.argmax(axis=-1)
    places = [np.flatnonzero(row < 2) for row in symbols]
    assert {len(each) for each in places} == {2}
    assert all(2 <= first <= 4 and 8 <= second <= 10 for first, second in places)
    told = [2 * row[first] + row[second] for row, (first, second) in zip(symbols, places, strict=True)]
    np.testing.assert_array_equal(told, y)
    assert set(y) == {0, 1, 2, 3}


def test_permuted_digits_are_the_same_pixels_in_one_other_order(load):
    pytest.importorskip("sklearn")
    digits = load("digits")
    (plain, _), _ = digits.data(8, "in order")
    (permuted, _), _ = digits.data(8, "permuted")
    assert not np.array_equal(plain, permuted)
    np.testing.assert_array_equal(np.sort(plain, axis=1), np.sort(permuted, axis=1))


@pytest.mark.parametrize("clone", [False, True])
def test_a_stopped_run_goes_on_and_says_what_is_missing(clone, load, main, tmp_path, monkeypatch):
    experiment, measured = load("experiment"), load("measured")
    calls = []

    def measure(part, *, seed, quick):
        calls.append((part, seed))
        if len(calls) == 3:
            raise RuntimeError("stopped")
        return {"loss": 0.25}

    toy = experiment.Experiment(
        name="toy",
        title="Toy",
        claim="It goes on.",
        setting="nothing.",
        parts=lambda quick: {"a": ("a",), "b": ("b",)},
        measure=measure,
        tables=lambda figures: [
            experiment.Table(["part"], [[experiment.spread(experiment.values(figures, "a", "loss"))]])
        ],
        seeds=(0, 1),
    )
    monkeypatch.setattr(load("experiments"), "load", lambda name: toy)
    monkeypatch.setattr(main, "ORDER", ("toy",))
    unfinished = tmp_path / "unfinished.json"
    with pytest.raises(RuntimeError, match="stopped"):
        main.measure("toy", False, unfinished)
    report = load("report")
    report.update(tmp_path, unfinished, False, [])
    text = (tmp_path / "evidence.md").read_text(encoding="utf-8")
    assert "0.2500 ± 0.0000" in text
    assert "Missing, because the run was stopped: b." in text
    if clone:  # which has what was committed, and no build folder
        unfinished.unlink()
    report.take_back(["toy"], tmp_path, unfinished, False)
    main.measure("toy", False, unfinished)
    assert calls == [("a", 0), ("a", 1), ("b", 0), ("b", 0), ("b", 1)]
    report.update(tmp_path, unfinished, False, [])
    assert "Missing" not in (tmp_path / "evidence.md").read_text(encoding="utf-8")
    assert measured.read(unfinished) == {}
    report.take_back(["toy"], tmp_path, unfinished, False)
    assert measured.read(unfinished) == {}  # all of it is measured: a further run measures it again


def test_a_run_that_goes_on_elsewhere_names_both_machines(load, tmp_path, monkeypatch):
    measured, path = load("measured"), tmp_path / "unfinished.json"
    for seed, cpu in enumerate(("first", "second", "second")):
        monkeypatch.setattr(measured.machine, "describe", lambda threads, cpu=cpu: {"cpu": cpu})
        measured.add(path, "toy", "a", seed, {"loss": 0.5}, 1.0)
        found = measured.read(path)["toy"]
        assert found["machine"]["cpu"] == cpu
        assert found.get("begun", "").endswith("first" if seed else "")
    assert set(found["figures"]["a"]) == {"0", "1", "2"}


def test_training_stops_once_the_task_is_solved(load):
    adding = load("adding")
    found = adding.measure("FastRNN", 4, seed=0, quick=False)
    assert found["solved"]
    assert found["loss"] < 0.01
    assert found["updates"] == 500 * len(found["curve"]) < adding.UPDATES


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["copying", "temporal_order", "digits", "gradient_decay", "export_matrix", "peers"]
)
def test_an_experiment_measures_what_its_tables_show(load, name):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    experiment = load("experiments").load(name)
    part, arguments = next(iter(experiment.parts(True).items()))
    figures = json.loads(json.dumps({part: {"0": experiment.measure(*arguments, seed=0, quick=True)}}))
    assert figures[part]["0"]
    rows = [row for table in experiment.tables(figures) for row in table.rows]
    assert any("missing" not in row for row in rows) or name == "digits"
    assert all(isinstance(line, str) for line in experiment.reading(figures))
    if experiment.draw:
        experiment.draw(figures, load("report")._pictures.matplotlib()[0]())
