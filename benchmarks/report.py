"""Ratios of medians, tables, and the two result files."""

import json
import statistics

from benchmarks import plan
from keras_vrnn import _files

# A higher load means that other programs are computing. OpenMP threads, as in torch and NumPy, wait for each other in a
# busy loop; if one of two cores is taken, they become ten times slower.
_IDLE_LOAD = 0.5

_UNITS = {"memory": "MiB above the inputs, minus the same for 4 time steps"}
_TITLES = {name: step.title for name, step in plan.STEPS.items()} | {
    "fit": "`fit` with default arguments and progress bar, per update",
    "fit-silent": "`fit(verbose=0)`, per update",
    "first-fit": "First `fit` of a process, with tracing and compiling, per update",
    "evaluate": "`evaluate`, per batch",
    "predict": "`predict`, per batch",
    "memory": "Peak memory of a train step",
}


def held_against_bars(records):
    """Compares the records with the bars: ratios per case, their geometric mean, and whether the bar is reached.

    Args:
        records: Records from `measure`.

    Returns:
        One dict per bar that has records: title, cases (a list of section, case, ratio), geometric_mean, wanted,
        reached (None without a bound).
    """
    results = []
    for bar in plan.BARS:
        cases = [
            {"section": section, "case": case, "ratio": _ratio(bar, medians)}
            for (section, case, units), medians in _cases(records).items()
            if section in bar.sections
            and bar.units[0] <= units <= bar.units[1]
            and set(bar.peers) & set(medians)
            and set(bar.ours) & set(medians)
        ]
        if not cases:
            continue
        mean = statistics.geometric_mean(case["ratio"] for case in cases)
        results.append(
            {
                "title": bar.title,
                "cases": cases,
                "geometric_mean": mean,
                "wanted": _wanted(bar),
                "reached": _reached(bar, mean),
            }
        )
    return results


def _cases(records):
    """Returns {(section, case, units): {contender: median}} in the order of measurement."""
    cases = {}
    for record in records:
        key = record["section"], record["case"], record["units"]
        cases.setdefault(key, {})[record["contender"]] = record["median"]
    return cases


def _ratio(bar, medians):
    peer, own = (min(medians[n] for n in names if n in medians) for names in (bar.peers, bar.ours))
    return own / peer if bar.at_most is not None else peer / own


def _wanted(bar):
    if bar.at_least is not None:
        return f"≥ {bar.at_least:g}"
    return "" if bar.at_most is None else f"≤ {bar.at_most:g}"


def _reached(bar, mean):
    if bar.at_least is not None:
        return mean >= bar.at_least
    return None if bar.at_most is None else mean <= bar.at_most


def markdown(result):
    """Returns the tables of a result as Markdown."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"# Benchmark of {result['date']}",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads used; {machine['system']}. "
        f"Load before and after: {machine['load_before']:.1f}, {machine['load_after']:.1f}. {versions}.",
        "",
        f"float32, medians, contenders in turn. Command: `{result['command']}`. Cases are "
        "batch×time×features→units.",
        *result["notes"],
    ]
    if max(machine["load_before"], machine["load_after"] - machine["threads"]) > _IDLE_LOAD:
        lines.append("**Other programs were running: do not rely on these numbers.**")
    lines += ["", "## Ratios", "", *_bar_table(result["bars"])]
    for section in dict.fromkeys(record["section"] for record in result["records"]):
        lines += ["", f"## {_TITLES[section]}, {_UNITS.get(section, 'ms')}", ""]
        lines += _section_table([r for r in result["records"] if r["section"] == section])
    return "\n".join(lines) + "\n"


def _bar_table(bars):
    rows = [["ratio", "wanted", "geometric mean", "reached", "by case"]]
    for bar in bars:
        reached = {None: "", True: "yes", False: "**no**"}[bar["reached"]]
        sections = {case["section"] for case in bar["cases"]}
        groups = [
            (f"{section}: " if len(sections) > 1 else "")
            + ", ".join(f"{c['ratio']:.2f}" for c in bar["cases"] if c["section"] == section)
            for section in dict.fromkeys(c["section"] for c in bar["cases"])
        ]
        rows.append([bar["title"], bar["wanted"], f"{bar['geometric_mean']:.2f}", reached, "; ".join(groups)])
    return _table(rows)


def _section_table(records):
    cases = _cases(records)
    contenders = list(dict.fromkeys(record["contender"] for record in records))
    rows = [["case", *contenders]]
    for (_, case, _), medians in cases.items():
        rows.append([case, *(_number(medians[name]) if name in medians else "" for name in contenders)])
    return _table(rows)


def _number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _table(rows):
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|" + " --- |" * len(rows[0]), *body]


def write(result, folder, name):
    """Writes `<name>.json` and `<name>.md` into the folder, each completely or not at all; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {".json": json.dumps(result, indent=1, ensure_ascii=False) + "\n", ".md": markdown(result)}
    paths = []
    for suffix, text in texts.items():
        paths.append(folder / f"{name}{suffix}")
        with _files.replacing(paths[-1]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths
