"""The digest in an exported file: present, checked by every reader, and renewed on request."""

import keras
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite import digest, reading
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("digest") / "m.tflite"
    model = keras.Sequential([keras.Input((5, 3), name="x"), kv.VanillaRNN(4)])
    kv.tflite.export(model, path, quantization="float32")
    return path


def test_every_byte_counts(path):
    content = path.read_bytes()
    assert digest.is_intact(content)
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        with pytest.raises(ValueError, match="differs from the digest"):
            digest.is_intact(bytes(changed))
    for changed in (content[:-1], content + b"\0"):
        with pytest.raises(ValueError, match="differs from the digest"):
            digest.is_intact(changed)


def test_an_entry_without_its_mark_is_damage(path):
    content = path.read_bytes()
    for part in (digest.ENTRY.encode(), digest.PLACEHOLDER[:8]):
        with pytest.raises(ValueError, match="differs from the digest"):
            digest.is_intact(content.replace(part, bytes(len(part))))


def test_files_of_other_programs_hold_none():
    assert not digest.is_intact(b"\0\0\0\0TFL3")
    assert digest.sealed(b"\0\0\0\0TFL3") == b"\0\0\0\0TFL3"


def test_what_this_package_packs_again_is_sealed_again(path):
    file = ModelFile(path.read_bytes())
    file.model.description = "changed"
    assert digest.is_intact(file.pack())


def test_a_change_on_purpose_is_accepted_by_seal(path, tmp_path):
    changed = tmp_path / "changed.tflite"
    changed.write_bytes(path.read_bytes().replace(b"keras-vrnn ", b"KERAS-VRNN "))
    with pytest.raises(ValueError, match=r"damaged or was changed: .* call kv\.tflite\.seal\(path\)"):
        kv.tflite.Runner(changed)
    kv.tflite.seal(changed)
    assert kv.tflite.inspect(changed).description.startswith("KERAS-VRNN ")


def test_only_exported_files_can_be_sealed(tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(b"\0\0\0\0TFL3")
    with pytest.raises(ValueError, match="must be a file with the digest of an export"):
        kv.tflite.seal(other)
    with pytest.raises(FileNotFoundError, match="must be a file that exists"):
        kv.tflite.seal(tmp_path / "none")


def test_the_digest_is_small(path):
    _, model = reading.read(path)
    model.metadata = [entry for entry in model.metadata if reading.text(entry.name) != digest.ENTRY]
    model.buffers = [
        b for b in model.buffers if b.data is None or bytes(b.data)[:8] != digest.PLACEHOLDER[:8]
    ]
    file = ModelFile()
    file.model = model
    # Mark and digest take 24 bytes; the rest is the entry's name, the flatbuffer's tables and their alignment.
    assert 24 < path.stat().st_size - len(file.pack()) <= 144
