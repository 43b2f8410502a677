# One .venv serves every target. A stamp in it says what is installed; a newer pyproject.toml or version renews it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Those of TensorFlow's start-up notes that can be silenced.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test test-jax test-torch lint format types examples bench wheel-test dev venv clean
.NOTPARALLEL:

help:
	@echo "make demo        train, picture, export and verify the sentiment model, into out/sentiment/"
	@echo "make test        run all tests with coverage; PYTEST_ARGS='-m \"not slow\"' for the quick ones"
	@echo "make test-jax    the layers' tests on JAX    make test-torch  on PyTorch (a large install)"
	@echo "make lint        check style               make format    apply it"
	@echo "make types       check types               make examples  run the examples at small size"
	@echo "make bench       measure speed and memory against the peers; BENCH_ARGS='--quick' to try it"
	@echo "make wheel-test  build the wheel and test what is in it"
	@echo "make clean       remove $(VENV) and all that the other targets made"
	@echo "Settings: PYTHON=$(PYTHON) VENV=$(VENV)"

demo: $(VENV)/.demo
	$(BIN)/python examples/sentiment.py --out out/sentiment

dev: $(VENV)/.dev

# A bare --cov would take the next argument for the source, an empty one measures nothing. The floor is for all tests.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --cov=keras_vrnn $(if $(PYTEST_ARGS),--cov-fail-under=0) $(PYTEST_ARGS)

# Training, diagnosis and export need TensorFlow; what follows is for every backend of Keras.
LAYER_TESTS := $(filter-out %_suites.py %_vectors.py,$(wildcard tests/layers/test_*.py))

test-jax test-torch: test-%: $(VENV)/.dev $(VENV)/.%
	KERAS_BACKEND=$* $(BIN)/python -m pytest -n 2 -m "not slow" $(LAYER_TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

# The others run among the tests.
examples: $(VENV)/.dev
	$(BIN)/python examples/sentiment.py --quick --overwrite --out out/sentiment-quick

bench: $(VENV)/.benchmarks
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

# The wheel's copy, ahead of the checkout's, with the dependencies of .venv; from another folder, since Python
# would import what lies in the current one.
wheel-test: $(VENV)/.dev
	rm -rf build/wheel build/installed
	$(PIP) wheel --quiet --no-deps --wheel-dir build/wheel .
	$(PIP) install --quiet --no-deps --target build/installed build/wheel/*.whl
	cd build && PYTHONPATH="$(CURDIR)/build/installed" "$(abspath $(BIN))/pytest" ../tests/test_package.py

$(VENV)/.demo: pyproject.toml keras_vrnn/_version.py | venv
	$(PIP) install --quiet --editable ".[examples,plots]"
	@touch $@

$(VENV)/.dev: pyproject.toml keras_vrnn/_version.py | venv
	$(PIP) install --quiet --editable ".[dev]"
	@touch $(VENV)/.demo $@

$(VENV)/.jax $(VENV)/.torch $(VENV)/.benchmarks: $(VENV)/.%: pyproject.toml keras_vrnn/_version.py | venv
	$(PIP) install --quiet --editable ".[$*]"
	@touch $@

# A venv whose creation was interrupted has no working pip and is completed. PYTHON is looked at when it is needed
# or named; a bare `make test` works with the venv that is there.
venv:
ifeq ($(origin PYTHON),file)
	@"$(BIN)/python" -m pip --version >/dev/null 2>&1 || $(MAKE) --no-print-directory PYTHON="$(PYTHON)" venv
else
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "PYTHON=$(PYTHON) was not found; name Python 3.10 or newer, as in: make test PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "keras-vrnn needs Python 3.10 or newer, and $(PYTHON) is $$("$(PYTHON)" -V 2>&1);" \
	       "name another, as in: make test PYTHON=python3.12" >&2; exit 1; }
	@"$(BIN)/python" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv "$(VENV)"
	@version() { "$$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }; \
	wanted=$$(version "$(PYTHON)"); found=$$(version "$(BIN)/python"); [ "$$wanted" = "$$found" ] || { \
	  echo "PYTHON=$(PYTHON) is Python $$wanted, but $(VENV) has Python $$found;" \
	       "run 'make clean' first or name another folder with VENV=" >&2; exit 1; }
endif

# Only a folder that is a venv goes: VENV could be anything.
clean:
	[ ! -f "$(VENV)/pyvenv.cfg" ] || rm -rf "$(VENV)"
	rm -rf build dist out *.egg-info .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis
