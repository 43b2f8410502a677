"""Writes what was measured as JSON, as one page of Markdown and of HTML, and into the pages that quote it."""

import html
import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks.evidence import experiments, measured
from benchmarks.evidence.experiment import Experiment
from keras_vrnn import _files, _pictures, _shown

# A page of docs/ holds <!-- evidence: adding --> … <!-- /evidence --> for the whole section of an experiment, and
# <!-- evidence: adding tables --> for its tables alone.
QUOTED = re.compile(r"(<!-- evidence: (\w+)( tables)? -->\n).*?(<!-- /evidence -->)", flags=re.DOTALL)


def take_back(chosen: Iterable[str], folder: Path, unfinished: Path, quick: bool) -> None:
    """Moves experiments that the results have in part to the unfinished ones, so that a run measures only the rest."""
    results, begun = measured.read(folder / "evidence.json"), measured.read(unfinished)
    parts = {
        name: results[name]
        for name in chosen
        if name in results and name not in begun and _missing(name, results, quick)
    }
    if parts:
        measured.write(unfinished, begun | parts)


def update(folder: Path, unfinished: Path, quick: bool, pages: Iterable[Path]) -> None:
    """Moves finished experiments into the results, and writes the report and the pages.

    An experiment replaces its former figures once all of it is measured, or if they lack something themselves; the
    report says what is missing.
    """
    path = folder / "evidence.json"
    results, new = measured.read(path), measured.read(unfinished)
    waiting = {name: found for name, found in new.items() if _missing(name, new, quick)}
    results |= {
        name: found for name, found in new.items() if name not in waiting or _missing(name, results, quick)
    }
    measured.write(path, results)
    measured.write(unfinished, waiting)
    texts = {
        path.with_suffix(".md"): markdown(results, quick),
        path.with_suffix(".html"): html_page(results, quick),
    }
    texts |= {page: quoting(page.read_text(encoding="utf-8"), results, quick) for page in pages}
    for file, text in texts.items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            with _files.replacing(file) as temporary:
                temporary.write_text(text, encoding="utf-8")
            print(file)


def quoting(text: str, results: dict, quick: bool = False) -> str:
    """Returns a page with what it quotes of the results."""

    def block(match):
        start, name, tables_only, end = match.groups()
        experiment = experiments.load(name)
        figures = _figures(results, name)
        lines = _tables(experiment, figures) if tables_only else _section(experiment, results, quick)
        return start + "\n" + "\n\n".join(lines) + "\n\n" + end

    return QUOTED.sub(block, text)


def markdown(results: dict, quick: bool) -> str:
    sections = ["# Evidence", "Written by `python -m benchmarks.evidence`."]
    for experiment in _all():
        sections += [f"## {experiment.title}", *_section(experiment, results, quick)]
    return "\n\n".join(sections) + "\n"


def html_page(results: dict, quick: bool) -> str:
    """One page with tables and pictures that needs no other file."""
    parts = []
    for experiment in _all():
        figures = _figures(results, experiment.name)
        parts.append(f"<h2>{html.escape(experiment.title)}</h2>")
        parts += [f"<p>{_inline(line)}</p>" for line in _words(experiment, results, quick)]
        if not figures:
            continue
        if experiment.draw:
            parts.append(_picture(experiment, figures))
        for table in experiment.tables(figures):
            parts += [f"<p>{_inline(table.caption)}</p>", _html_table(table)]
    return _shown.page("Evidence", "\n".join(parts))


def _all():
    from benchmarks.evidence.__main__ import ORDER

    return [experiments.load(name) for name in ORDER]


def _missing(name, results, quick):
    return experiments.load(name).missing(_figures(results, name), quick)


def _figures(results, name):
    return results.get(name, {}).get("figures", {})


def _section(experiment: Experiment, results: dict, quick: bool) -> list[str]:
    """Paragraphs of Markdown."""
    words = _words(experiment, results, quick)
    if experiment.name not in results:
        return words
    return [*words[:2], *_tables(experiment, _figures(results, experiment.name)), *words[2:]]


def _tables(experiment, figures):
    return [table.markdown() for table in experiment.tables(figures)]


def _words(experiment, results, quick):
    """The claim, the setting, and what comes below the tables."""
    words = [f"Claim: {experiment.claim}"]
    setting = f"Measured: {experiment.setting}"
    if experiment.chance:
        setting += f" Chance: {experiment.chance}."
    words.append(setting)
    if experiment.name in results:
        words += experiment.reading(_figures(results, experiment.name))
    words += [f"Published: {text}. {source}." for text, source in experiment.published]
    words.append(_provenance(experiment, results, quick))
    return words


def _provenance(experiment, results, quick):
    command = f"`python -m benchmarks.evidence {experiment.name}`"
    found = results.get(experiment.name)
    if found is None:
        return f"Command: {command}. Not measured yet."
    about = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    seeds = experiment.seeds[: 1 if quick else None]
    seconds = found["seconds"]
    duration = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    text = (
        f"Command: {command}, {duration} on one thread. {found['date']}, {about['cpu']}, "
        f"{about['cores']} cores, {about['system']}; {versions}. Seeds {', '.join(map(str, seeds))}."
    )
    if "begun" in found:
        text += f" Some of it was measured before: {found['begun']}."
    missing = _missing(experiment.name, results, quick)
    if missing:
        lacking = [
            part for part in dict.fromkeys(part for part, _ in missing) if part not in found["figures"]
        ]
        lacking += [f"{part}, seed {seed}" for part, seed in missing if part not in lacking]
        text += f" Missing, because the run was stopped: {'; '.join(lacking)}."
    return text


def _picture(experiment, figures):
    figure_class, _ = _pictures.matplotlib()
    figure = figure_class(figsize=(11, 3.6), layout="constrained")
    experiment.draw(figures, figure)
    return _shown.image(figure)


def _inline(text):
    return re.sub("`(.*?)`", r"<code>\1</code>", html.escape(text))


def _html_table(table):
    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{_inline(cell)}</{tag}>" for cell in cells) + "</tr>"

    rows = [row(table.head, "th"), *(row(cells, "td") for cells in table.rows)]
    return f'<div class="table"><table>{"".join(rows)}</table></div>'
