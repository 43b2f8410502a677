"""The benchmark runs, and its tables agree with its measurements. No test asserts how fast anything is."""

import importlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return {name: importlib.import_module(f"benchmarks.{name}") for name in ("measure", "plan", "report")}


def record(section, contender, median, case="32×32×16→32", units=32):
    return {"section": section, "case": case, "units": units, "contender": contender, "median": median}


def bar(results, words):
    (found,) = (result for result in results if words in result["title"])
    return found


@pytest.mark.slow
def test_quick_run_prints_and_writes_ratios_of_its_own_medians(tmp_path):
    sections = ["train", "train-last", "forward", "fit"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--only", *sections, "--out", str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"latest.json", "latest.md"}
    result = json.loads((tmp_path / "latest.json").read_text(encoding="utf-8"))
    assert (tmp_path / "latest.md").read_text(encoding="utf-8") in done.stdout

    medians = {(r["section"], r["contender"]): r["median"] for r in result["records"]}
    ours, keras = (
        {
            section: min(medians[section, f"{name} {mode}"] for mode in ("graph", "XLA"))
            for section in ("train", "train-last")
        }
        for name in ("VanillaRNN", "Keras")
    )
    train = bar(result["bars"], "better of Keras graph and XLA")
    assert {c["section"]: c["ratio"] for c in train["cases"]} == {s: keras[s] / ours[s] for s in ours}
    fit = bar(result["bars"], "fit, against Keras' defaults")
    assert fit["geometric_mean"] == pytest.approx(medians["fit", "Keras"] / medians["fit", "kv.Model"])
    assert all(r["lower_quartile"] <= r["median"] <= r["upper_quartile"] for r in result["records"])
    # A library that is not installed is named, and left out everywhere.
    for library in ("jax", "torch"):
        absent = importlib.util.find_spec(library) is None
        assert absent == any(f"{library} is not installed" in note for note in result["notes"])
        assert absent == (not any(library in r["contender"].lower() for r in result["records"]))


def test_ratio_takes_the_best_of_each_side_and_the_geometric_mean_of_the_cases(benchmarks):
    records = [
        record("train", "Keras graph", 8.0),
        record("train", "Keras XLA", 6.0),
        record("train", "VanillaRNN graph", 4.0),
        record("train", "VanillaRNN XLA", 2.0),
        record("train", "torch", 4.0),
        record("train-last", "Keras graph", 12.0, "64×96×64→128", 128),
        record("train-last", "VanillaRNN graph", 1.0, "64×96×64→128", 128),
        record("train-last", "GEMM", 0.5, "64×96×64→128", 128),
    ]
    results = benchmarks["report"].held_against_bars(records)
    keras = bar(results, "better of Keras graph and XLA")
    assert [case["ratio"] for case in keras["cases"]] == [3.0, 12.0]
    assert keras["geometric_mean"] == pytest.approx(statistics.geometric_mean([3.0, 12.0]))
    assert (keras["wanted"], keras["reached"]) == ("≥ 1.5", True)
    assert bar(results, "torch")["reached"] is False  # 4 / 2 < 3
    gemm = bar(results, "bare GEMMs")  # ours over theirs, and only from 128 units on
    assert [(case["case"], case["ratio"]) for case in gemm["cases"]] == [("64×96×64→128", 2.0)]
    assert gemm["reached"] is False
    assert not [result for result in results if "fit" in result["title"]]  # nothing measured, nothing said


def test_memory_counts_ours_over_theirs(benchmarks):
    records = [record("memory", "Keras XLA", 100.0), record("memory", "VanillaRNN XLA", 40.0)]
    memory = bar(benchmarks["report"].held_against_bars(records), "memory")
    assert (memory["geometric_mean"], memory["reached"]) == (pytest.approx(0.4), True)


def test_missing_library_is_named_with_the_remedy(benchmarks):
    plan, measure = benchmarks["plan"], benchmarks["measure"]
    absent = plan.Contender("keras", backend="no_such_library")
    found, notes = measure.available({"GEMM": plan.CONTENDERS["GEMM"], "Absent": absent})
    assert list(found) == ["GEMM"]
    assert len(notes) == 1
    assert "Absent is left out: no_such_library is not installed" in notes[0]
    assert 'pip install "keras-vrnn[benchmarks]"' in notes[0]


def test_contenders_that_compute_something_else_are_refused(benchmarks):
    equal = benchmarks["measure"].require_equal
    equal("case", {"a": [1.0, 2.0], "b": [1.0, 2.0], "GEMM": None})
    with pytest.raises(RuntimeError, match=r"case: b computes \[1.0, 2.1\], a \[1.0, 2.0\]"):
        equal("case", {"a": [1.0, 2.0], "b": [1.0, 2.1]})


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:Statistics for quantized inputs:UserWarning"
)  # TensorFlow's own converter, of int8
@pytest.mark.parametrize("sequences", [False, True])
def test_exported_files_compute_the_same(benchmarks, sequences, tmp_path):
    from benchmarks import exported

    rows = exported.measure(tmp_path, sequences, rounds=1)
    for name, (microseconds, size, error) in rows.items():
        assert microseconds > 0
        assert size > 4 * 10 * 64  # the kernels, at one byte a weight at least
        # float32: rounding over 100 steps. int8 weights and states of 1/128, the largest of 64 errors: some steps.
        assert error <= (1e-5 if name.endswith(("float32", "unrolled")) else 0.1), name
