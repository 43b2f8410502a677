"""The unrolled network: its numbers against NumPy in float64, and the page in a browser."""

import html
import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from exported_models import randomize

import keras_vrnn as kv

T, F, U = 9, 3, 5
X = np.random.default_rng(0).normal(size=(4, T, F)).astype("float32")
Y = np.random.default_rng(1).normal(size=(4, 1)).astype("float32")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def network(layer):
    inputs = keras.Input((T, F), name="x")
    return randomize(keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)), name="net"), 3)


def numbers(page):
    """The numbers that a page holds."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


def float64(model):
    return [np.asarray(weight, "float64") for weight in model.get_weights()]


def by_hand(x, y, kernel, recurrent_kernel, bias, readout, offset):
    """h_t, the singular values of ∂h_T/∂h_t and ‖∂L/∂h_t‖ of a tanh RNN under mean squared error."""
    h, states = np.zeros(U), []
    for row in x.astype("float64"):
        h = np.tanh(row @ kernel + h @ recurrent_kernel + bias)
        states.append(h)
    products = []
    for t in range(T):
        product = np.eye(U)
        for k in range(t + 1, T):  # ∂h_k[j]/∂h_{k-1}[i] = W_h[i, j]·(1 − h_k[j]²)
            product = product @ recurrent_kernel @ np.diag(1 - states[k] ** 2)
        products.append(product)
    at_end = 2 * (h @ readout + offset - y) @ readout.T
    gradients = [np.linalg.norm(product @ at_end) for product in products]
    return (
        np.array(states),
        np.array([np.linalg.svd(p, compute_uv=False) for p in products]),
        np.array(gradients),
    )


def test_the_numbers_of_a_page_are_those_of_numpy():
    model = network(kv.VanillaRNN(U))
    made = kv.diagnostics.unroll(model, X, Y, loss="mse", sequence=2)
    states, values, gradients = by_hand(X[2], Y[2], *float64(model))
    (shown,) = numbers(made.to_html())["layers"]
    # Seven digits of a page; the gradient is computed in float32.
    np.testing.assert_allclose(shown["states"], states, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(shown["singular_values"], values, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(shown["gradient"], gradients, rtol=1e-4)
    np.testing.assert_allclose(made.layers[0].product_norms, values[:, 0], rtol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        kv.FastRNN(U, return_sequences=True),
        keras.layers.SimpleRNN(U, return_sequences=True, activation="relu"),
    ],
)
def test_the_product_is_the_derivative(layer):
    """Its largest singular value, by difference quotients of the layer itself, in float64."""
    layer = type(layer).from_config({**layer.get_config(), "dtype": "float64"})
    model = keras.Sequential([keras.Input((T, F), dtype="float64"), layer])
    randomize(model, 1)
    x = X.astype("float64")
    (made,) = kv.diagnostics.unroll(model, x).layers
    assert made.gradient_norms is None
    outputs = np.asarray(model(x))
    np.testing.assert_allclose(made.states, outputs[0], rtol=1e-9, atol=1e-12)
    t, step = 4, 1e-6
    rest = type(layer).from_config(layer.get_config())
    rest.build((None, None, F))
    rest.set_weights(layer.get_weights())

    def end(h):
        return np.asarray(rest(x[:1, t + 1 :], initial_state=h[None]))[0, -1]

    h = outputs[0, t]
    jacobian = [(end(h + step * unit) - end(h - step * unit)) / (2 * step) for unit in np.eye(U)]
    expected = np.linalg.svd(np.array(jacobian), compute_uv=False)
    np.testing.assert_allclose(made.singular_values[t], expected, rtol=1e-5, atol=1e-8)


def test_masked_steps_change_nothing():
    inputs = keras.Input((T, F))
    layer = kv.VanillaRNN(U, return_sequences=True)
    model = randomize(keras.Model(inputs, layer(keras.layers.Masking()(inputs))), 3)
    x = X.copy()
    x[0, 5:] = 0
    (masked,) = kv.diagnostics.unroll(model, x, np.zeros((4, T, U), "float32"), loss="mse").layers
    np.testing.assert_array_equal(masked.states[5:], np.repeat(masked.states[4:5], 4, axis=0))
    np.testing.assert_allclose(masked.singular_values[4:], 1, rtol=1e-12)
    assert np.isnan(masked.gradient_norms[5:]).all()


def test_states_of_the_model_stay():
    inputs = keras.Input((T, F), batch_size=1)
    layer = kv.VanillaRNN(U, stateful=True)
    model = keras.Model(inputs, layer(inputs))
    model(X[:1])
    before = np.asarray(layer.states[0])
    kv.diagnostics.unroll(model, X)
    np.testing.assert_array_equal(layer.states[0], before)


def test_what_grows_beyond_float64_is_not_a_number():
    model = keras.Sequential([keras.Input((400, 1)), kv.VanillaRNN(2, activation="linear")])
    model.set_weights([np.zeros((1, 2)), 10 * np.eye(2), np.zeros(2)])
    made = kv.diagnostics.unroll(model, np.zeros((1, 400, 1), "float32"))
    assert np.isnan(made.layers[0].singular_values[0]).all()
    assert numbers(made.to_html())["layers"][0]["singular_values"][0] == [None, None]


def test_only_the_script_of_the_page_runs(tmp_path):
    model = network(kv.VanillaRNN(U, name="a<script>b"))
    page = kv.diagnostics.unroll(model, X).write_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<script") == 2
    assert not re.findall(r"(?:src|href)=|@import|url\(", page)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        kv.diagnostics.unroll(model, X).write_html(tmp_path / "page.html")


def test_requests_that_fit_no_model():
    model = network(kv.VanillaRNN(U))
    with pytest.raises(ValueError, match="`sequence` must be the index of one of the 4 sequences"):
        kv.diagnostics.unroll(model, X, sequence=4)
    with pytest.raises(ValueError, match="`model` must have a vanilla RNN or FastRNN layer"):
        kv.diagnostics.unroll(network(keras.layers.GRU(U)), X)


def test_it_prints_itself():
    made = kv.diagnostics.unroll(network(kv.VanillaRNN(U, name="rnn")), X, Y, loss="mse")
    lines = str(made).splitlines()
    assert lines[:2] == ["net, sequence 0", "rnn"]
    assert lines[2].split() == ["t", "‖h_t‖", "‖∂h_T/∂h_t‖", "‖∂L/∂h_t‖"]
    assert lines[-1].split()[:1] == [str(T)]
    assert html.escape("net, sequence 0") in made._repr_html_()


# What a hand does: moves the slider, or drags over the curves.
SLIDER = 'at("t").value = 2; at("t").dispatchEvent(new Event("input"));'
DRAG = """const box = at("curves").getBoundingClientRect();
at("curves").dispatchEvent(new PointerEvent("pointermove", {buttons: 1, clientX: box.right - 1}));"""


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
@pytest.mark.parametrize(("width", "hand", "t"), [(390, "", 5), (390, SLIDER, 2), (1280, DRAG, T)])
def test_a_browser_draws_the_numbers_of_a_step(width, hand, t, tmp_path):
    made = kv.diagnostics.unroll(network(kv.VanillaRNN(U)), X, Y, loss="mse")
    path = tmp_path / "page.html"
    path.write_text(made.to_html().replace("</html>", f"<script>{hand}</script></html>"), encoding="utf-8")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},900",
        "--dump-dom",
    ]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    (layer,) = made.layers
    found = dict(re.findall(r"<span>(‖[^<]*?) = <b>(.*?)</b>", done.stdout))
    assert f'<b id="step">{t} of {T}</b>' in done.stdout
    assert float(found["‖∂h_T/∂h_t‖"]) == pytest.approx(layer.product_norms[t - 1], rel=5e-3)  # three digits
    assert float(found["‖∂L/∂h_t‖"]) == pytest.approx(layer.gradient_norms[t - 1], rel=5e-3)
    assert len(re.findall("<rect", done.stdout)) == 3 * T + 1 + U
    assert len(re.findall("<path", done.stdout)) == 2
