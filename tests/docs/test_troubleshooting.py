"""Each message of the troubleshooting page is raised by the block below it."""

import re

import keras
import pages
import pytest

PAGE = "docs/troubleshooting.md"
(_, _, BEGINNING), *BLOCKS = pages.blocks(PAGE, "python", "text")
MESSAGES = [(message, code) for (_, _, message), (_, _, code) in zip(BLOCKS[::2], BLOCKS[1::2], strict=True)]


@pytest.fixture(scope="module")
def beginning():
    names = {}
    exec(BEGINNING, names)
    return names


def heading(message):
    return re.sub(r"\W+", "-", message)[:60]


@pytest.mark.filterwarnings("ignore::keras_vrnn.tflite.AccuracyWarning")
@pytest.mark.parametrize(("message", "code"), MESSAGES, ids=map(heading, (text for text, _ in MESSAGES)))
def test_message_is_raised(message, code, beginning, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.backend.clear_session()  # which numbers the layers' names from the beginning, as in a reader's new process
    with pytest.raises(Exception, match=r"\S") as error:
        exec(code, dict(beginning))
    raised = " ".join(f"{type(error.value).__name__}: {error.value}".split())
    pattern = ".*".join(re.escape(part) for part in " ".join(message.split()).split("…"))
    assert re.fullmatch(re.sub(r"\\ (?=\.\*)|(?<=\.\*)\\ ", r"\\ ?", pattern) + ".*", raised), raised


def test_messages_and_code_take_turns():
    assert [kind for kind, _, _ in BLOCKS] == ["text", "python"] * len(MESSAGES)
