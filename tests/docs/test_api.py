"""The API reference has every public name once; the site and its index have every page."""

import re

import pages
import pytest

import keras_vrnn as kv

ENTRIES = re.findall(
    r"^::: keras_vrnn\.(\S+)$",
    "\n".join((pages.ROOT / page).read_text() for page in pages.documents() if page.startswith("docs/api/")),
    flags=re.MULTILINE,
)
ELSEWHERE = {"PolynomialDecay", "ConstantSparsity"}  # of another library
# In words, not as an entry of their own.
WITHOUT_ENTRY = {"PADDING", "UNKNOWN", "many_to_one", "many_to_many", "one_to_many", "EncoderDecoder"}
MODULES = [
    "callbacks",
    "compression",
    "datasets",
    "diagnostics",
    "initializers",
    "models",
    "native",
    "text",
    "tflite",
    "training",
]


def public_names():
    yield from set(kv.__all__) - set(MODULES) - {"__version__"}
    for module in MODULES:
        yield from (f"{module}.{name}" for name in getattr(kv, module).__all__)


@pytest.mark.parametrize("name", sorted(public_names()))
def test_every_public_name_has_an_entry(name):
    module, _, last = name.rpartition(".")
    same = {name, f"training.{name}"} if not module else {name}
    if last in ELSEWHERE or (module and last in WITHOUT_ENTRY):
        return
    assert len(same & set(ENTRIES)) == 1, name


def test_no_entry_twice():
    assert len(ENTRIES) == len(set(ENTRIES))


def test_index_and_navigation_have_every_page():
    navigation = (pages.ROOT / "mkdocs.yml").read_text()
    index = (pages.ROOT / "docs/index.md").read_text()
    decisions = (pages.ROOT / "docs/decisions/README.md").read_text()
    for page in pages.documents():
        folder, _, name = page.removeprefix("docs/").rpartition("/")
        if folder == "decisions":
            assert f"({name})" in decisions or name == "README.md", page
        elif page.startswith("docs/"):
            assert f" {page.removeprefix('docs/')}\n" in navigation, page
            assert folder or f"({name})" in index or name == "index.md", page
