"""Cards in files: they come back whole, change nothing else, and are read by whatever opens the file."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from stock_files import convert

import keras_vrnn as kv
from keras_vrnn.tflite import describing, digest
from keras_vrnn.tflite.card import Card
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

X = np.random.default_rng(3).normal(size=(12, 5, 3)).astype(np.float32)
ODD = ['a"b\\c??/ */', "日本", "\u202e{0} %s"]
CARD = Card(
    name="motions",
    version="1.0",
    description="two\nlines",
    author="Ü",
    license="MIT",
    training_data="ten people",
    features=["ax", "ay", "az"],
    classes=ODD,
    mean=[0, 0.1, 0.2],
    std=2,
    figures={"accuracy": 0.75, "note": "on paper"},
)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((5, 3), name="x")
    h = kv.VanillaRNN(4, return_sequences=True)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="y")(h))


@pytest.fixture(params=["streaming", "sequence", "any length"], scope="module")
def path(request, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("card") / "m.tflite"
    if request.param == "any length":
        inputs = keras.Input((None, 3), name="x")
        h = kv.VanillaRNN(4, return_sequences=True)(inputs)
        model = keras.Model(inputs, keras.layers.Dense(3, name="y")(h))
        kv.tflite.export(model, path, calibration_data=X, timesteps=None, card=CARD)
    else:
        kv.tflite.export(model, path, calibration_data=X, form=request.param, card=CARD)
    return path


def test_the_card_comes_back(path):
    runner = kv.tflite.Runner(path)
    assert runner.card == CARD.fitted({"x": 3}, {"y": 3})
    y = runner(X)
    assert runner.card.likeliest(y)[0, 0] == ODD[y[0, 0].argmax()]
    assert kv.tflite.inspect(path).card == runner.card
    assert "classes        y: a" in str(kv.tflite.inspect(path))
    assert json.loads(kv.tflite.inspect(path).to_json())["card"]["version"] == "1.0"


def test_the_files_are_in_a_zip_archive(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("classes_0.txt").decode().splitlines() == ODD
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_nothing_else_changes(path, tmp_path):
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(describing.attached(path.read_bytes(), None))
    assert kv.tflite.Runner(bare).card is None
    np.testing.assert_array_equal(kv.tflite.Runner(bare)(X), kv.tflite.Runner(path)(X))
    np.testing.assert_array_equal(kv.tflite.simulate(bare, X), kv.tflite.simulate(path, X))
    kv.tflite.describe(bare, CARD)
    assert bare.read_bytes() == path.read_bytes()
    sizes = [kv.tflite.inspect(p).sizes for p in (bare, path)]
    assert sizes[0] == sizes[1]
    assert sum(sizes[0].values()) == path.stat().st_size


def test_changes_keep_the_rest_and_the_digest(model, path, tmp_path):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(path.read_bytes())
    figures = (
        kv.tflite.verify(model, path, X).figures
        if "length" not in kv.tflite.Runner(path).details
        else {"n": 1}
    )
    card = kv.tflite.describe(copy, version="1.1", figures=figures)
    assert card == kv.tflite.Runner(copy).card
    assert (card.version, card.figures, card.license) == ("1.1", figures, "MIT")
    assert digest.is_intact(copy.read_bytes())
    content = bytearray(copy.read_bytes())
    content[-40] ^= 1
    copy.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or was changed"):
        kv.tflite.Runner(copy)


def test_cpp_sources_leave_the_card_out(path, tmp_path):
    kv.tflite.write_c_array(path, tmp_path, arena=4096)
    assert (
        f"= {len(describing.attached(path.read_bytes(), None))};" in (tmp_path / "model_data.cc").read_text()
    )


def test_a_card_that_does_not_fit_is_found_before_the_export(model, tmp_path):
    with pytest.raises(ValueError, match="`classes` must have 3 values for 'y'"):
        kv.tflite.export(model, tmp_path / "m.tflite", calibration_data="no data", card=Card(classes=["a"]))
    with pytest.raises(ValueError, match=r"`card` must be a kv\.tflite\.Card or None"):
        kv.tflite.export(model, tmp_path / "m.tflite", calibration_data="no data", card={"name": "m"})


def test_describe_refuses_what_it_cannot_write(path, tmp_path):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="`classes` must have 3 values for 'y'"):
        kv.tflite.describe(copy, classes=["a"])
    with pytest.raises(ValueError, match=r"`card` must be a kv\.tflite\.Card"):
        kv.tflite.describe(copy, {"name": "m"})
    with pytest.raises(TypeError, match="klasses"):
        kv.tflite.describe(copy, klasses=["a"])
    with pytest.raises(FileNotFoundError):
        kv.tflite.describe(tmp_path / "none.tflite", version="1")
    assert copy.read_bytes() == path.read_bytes()


@pytest.fixture
def stock(tmp_path):
    weights = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    spec = tf.TensorSpec((1, 3), tf.float32, name="x")
    return convert(tmp_path / "stock.tflite", lambda x: tf.tanh(x @ weights), spec)


def test_files_of_other_programs(stock):
    before = kv.tflite.Runner(stock)(X[:, 0])
    name = kv.tflite.Runner(stock).outputs[0]
    card = kv.tflite.describe(stock, classes=["a", "b"])
    assert card.classes == {name: ("a", "b")}
    assert kv.tflite.Runner(stock).card == card
    np.testing.assert_array_equal(kv.tflite.Runner(stock)(X[:, 0]), before)
    assert kv.tflite.inspect(stock).intact is None


def with_metadata(path, content):
    file = ModelFile(path.read_bytes())
    entry = schema.MetadataT()
    entry.name, entry.buffer = describing.ENTRY, file.new_buffer(content)
    file.model.metadata = [*(file.model.metadata or []), entry]
    path.write_bytes(file.pack())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\0M00", "identifier"),
        (b"\xff\xff\0\0M001", "damaged"),
        (
            describing.model_metadata.encoded(
                {"subgraphs": [{"outputs": [{"files": [{"name": "x", "type": 2}]}]}]}
            ),
            "files that can't be read",
        ),
    ],
)
def test_metadata_that_cannot_be_read_stops_no_runner(stock, content, reason):
    with_metadata(stock, content)
    runner = kv.tflite.Runner(stock)
    assert runner(X[:, 0]).shape == (12, 2)
    with pytest.raises(ValueError, match=reason):
        _ = runner.card
    report = kv.tflite.inspect(stock)
    assert report.card is None
    assert reason in report.card_reason
    assert "card                 can't be read" in str(report)


def test_metadata_that_a_card_cannot_hold_is_not_lost(stock):
    foreign = {"name": "m", "subgraphs": [{"inputs": [{"name": "x", "process_units": [{"type": 3}]}]}]}
    with_metadata(stock, describing.model_metadata.encoded(foreign))
    assert kv.tflite.Runner(stock).card.name == "m"
    content = stock.read_bytes()
    with pytest.raises(ValueError, match="whose metadata another program wrote"):
        kv.tflite.describe(stock, version="2")
    assert stock.read_bytes() == content
