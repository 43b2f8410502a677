# All targets share one .venv. Stamp files in it record which extras are installed; a newer pyproject.toml or version
# installs them again.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Silences the start-up messages of TensorFlow that can be silenced.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test test-jax test-torch test-oldest test-newest lint format types docs examples bench evidence firmware \
	native wheel-test install-test dev venv clean
.NOTPARALLEL:

help:
	@echo "make demo        train, plot, export and verify the sentiment model; writes to out/sentiment/"
	@echo "make test        run all tests; PYTEST_ARGS='-m \"not slow\"' for the quick ones, TESTS=tests/layers for some"
	@echo "make test-jax    run the tests of the layers on JAX"
	@echo "make test-torch  run the tests of the layers on PyTorch (a large install)"
	@echo "make test-oldest  run the quick tests with the oldest versions of everything that pyproject.toml allows"
	@echo "make test-newest  the same with the newest versions, and Keras' development version where it is to be had"
	@echo "make coverage    the same, and measure branch coverage, which takes about twice as long"
	@echo "make lint        check style"
	@echo "make format      apply style"
	@echo "make types       check types"
	@echo "make docs        build the documentation into build/site; open index.html there, or serve it: python3 -m http.server -d build/site"
	@echo "make examples    run the demo at small size"
	@echo "make bench       measure speed and memory against Keras and PyTorch; BENCH_ARGS='--quick' to try it"
	@echo "make evidence    measure what README and docs claim and write the report; EVIDENCE_ARGS=--quick to try it"
	@echo "make firmware    measure C sources on emulated Cortex-M processors (gcc-arm-none-eabi, qemu-system-arm)"
	@echo "make native      build the native kernel of the recurrence (an option; needs a C++ compiler)"
	@echo "make wheel-test  build source distribution and wheel, and test their contents"
	@echo "make install-test  install the wheel into a new environment and test it there"
	@echo "make dev         install all development tools"
	@echo "make clean       remove $(VENV) and everything that the other targets made"
	@echo "Settings: PYTHON=$(PYTHON) VENV=$(VENV)"

demo: $(VENV)/.demo
	$(BIN)/python examples/sentiment.py --out out/sentiment

dev: $(VENV)/.dev

# In parts, because XLA keeps every program that it compiled: one process for all tests takes more than 10 GB.
TEST_FOLDERS := $(filter-out %.py %__pycache__,$(wildcard tests/*))
TEST_PARTS := "tests/layers" "tests/training tests/diagnostics" "tests/tflite" \
	"$(wildcard tests/test_*.py) $(filter-out tests/layers tests/training tests/diagnostics tests/tflite,$(TEST_FOLDERS))"

test: $(VENV)/.dev
	status=0; for part in $(if $(TESTS),"$(TESTS)",$(TEST_PARTS)); do \
	  $(BIN)/python -m pytest -n 2 $$part $(PYTEST_ARGS) || status=1; done; exit $$status

# Apart from the tests, because counting branches takes as long as many of the tests themselves. A bare --cov would take
# the next argument as its source, and an empty one measures nothing. The floor applies to a run of all tests only.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --cov=keras_vrnn $(if $(PYTEST_ARGS),--cov-fail-under=0) $(PYTEST_ARGS)

# Training, diagnosis and export need TensorFlow; these tests run on every backend of Keras.
LAYER_TESTS := $(filter-out %_suites.py %_vectors.py,$(wildcard tests/layers/test_*.py)) tests/native/test_jax_kernel.py

test-jax test-torch: test-%: $(VENV)/.dev $(VENV)/.%
	KERAS_BACKEND=$* $(BIN)/python -m pytest -n 2 -m "not slow" $(LAYER_TESTS)

# Each in an environment and with a Python of its own; ours is the default where there is none of theirs.
OLDEST_PYTHON = $(or $(shell python3.10 -c 'print("python3.10")' 2>/dev/null),$(PYTHON))
NEWEST_PYTHON = $(or $(shell python3.13 -c 'print("python3.13")' 2>/dev/null),$(PYTHON))

test-oldest test-newest: test-%:
	$(MAKE) --no-print-directory VENV=.venv-$* PYTHON="$(or $($(shell echo $* | tr a-z A-Z)_PYTHON))" .venv-$*/.$*
	$(MAKE) --no-print-directory test VENV=.venv-$* PYTEST_ARGS='$(or $(PYTEST_ARGS),-m "not slow")' \
	  $(if $(TESTS),TESTS="$(TESTS)",TEST_PARTS='$(VERSION_TEST_PARTS)')

# The tests of the package itself, and what they need. Documentation, examples and benchmarks have versions of their own.
VERSION_TEST_PARTS := "tests/layers" "tests/training tests/diagnostics" "tests/tflite" \
	"tests/models tests/compression tests/quantization tests/firmware tests/cli tests/native tests/test_package.py"
TEST_TOOLS := pytest pytest-xdist hypothesis

.venv-oldest/.oldest: pyproject.toml | venv
	sed -n '/^dependencies/,/^]/s/.*"\(.*\)>=\([^"]*\)".*/\1==\2/p' pyproject.toml >.venv-oldest/oldest.txt
	$(PIP) install --quiet --constraint .venv-oldest/oldest.txt --editable ".[compression,plots,micro]" $(TEST_TOOLS)
	@touch .venv-oldest/.demo .venv-oldest/.dev $@

.venv-newest/.newest: pyproject.toml | venv
	$(PIP) install --quiet --upgrade --editable ".[compression,plots,micro]" $(TEST_TOOLS)
	$(PIP) install --quiet --upgrade --pre --no-deps --force-reinstall keras-nightly || echo "There is no development version of Keras."
	@touch .venv-newest/.demo .venv-newest/.dev $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

# Strictly: a warning, such as of a link that leads nowhere, is an error. The variable silences an advertisement.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

# The tests run the other examples.
examples: $(VENV)/.dev
	$(BIN)/python examples/sentiment.py --quick --overwrite --out out/sentiment-quick

bench: $(VENV)/.benchmarks
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

# About three hours; goes on where it was stopped. EVIDENCE_ARGS=--quick takes two minutes and writes to build/evidence-quick.
evidence: $(VENV)/.dev
	$(BIN)/python -m benchmarks.evidence $(EVIDENCE_ARGS)

# Needs the Debian packages gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm; says so where they are missing.
firmware: $(VENV)/.dev
	$(BIN)/python -m benchmarks.firmware

# In the checkout, beside its sources; `pip install` builds it too, where it finds a compiler.
native: | venv
	$(BIN)/python keras_vrnn/native/sources.py

# The wheel is built from the source distribution, which thus holds all that it takes.
# PYTHONPATH puts the wheel's copy ahead of the checkout's, with the dependencies of .venv. The tests run in another
# folder, because Python would import the package from the current one.
wheel-test: $(VENV)/.dev
	rm -rf build/dist build/installed
	@mkdir -p build
	$(BIN)/python -m build --outdir build/dist . >build/dist.log || { cat build/dist.log; exit 1; }
	$(PIP) install --quiet --no-deps --target build/installed build/dist/*.whl
	cd build && PYTHONPATH="$(CURDIR)/build/installed" "$(abspath $(BIN))/pytest" ../tests/test_package.py

# As a user installs it: in a new venv, with what the wheel declares and nothing else of ours. Takes minutes.
install-test: wheel-test
	rm -rf build/clean
	"$(BIN)/python" -m venv build/clean
	build/clean/bin/python -m pip --disable-pip-version-check install --quiet build/dist/*.whl pytest hypothesis
	cd build && PYTHONPATH= clean/bin/python -m pytest ../tests/test_package.py ../tests/tflite/running/test_runner.py
	cd build && clean/bin/keras-vrnn inspect ../export/ready_made/activity.tflite --require litert

$(VENV)/.demo: pyproject.toml keras_vrnn/_version.py | venv
	$(PIP) install --quiet --editable ".[examples,plots]"
	@touch $@

$(VENV)/.dev: pyproject.toml keras_vrnn/_version.py | venv
	$(PIP) install --quiet --editable ".[dev]"
	@touch $(VENV)/.demo $@

$(VENV)/.jax $(VENV)/.torch $(VENV)/.benchmarks: $(VENV)/.%: pyproject.toml keras_vrnn/_version.py | venv
	$(PIP) install --quiet --editable ".[$*]"
	@touch $@

# A venv whose creation was interrupted lacks a working pip and is completed. PYTHON is checked only if a venv must be
# created or PYTHON is set by the user; a bare `make test` uses the existing venv.
venv:
ifeq ($(origin PYTHON),file)
	@"$(BIN)/python" -m pip --version >/dev/null 2>&1 || $(MAKE) --no-print-directory PYTHON="$(PYTHON)" venv
else
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "PYTHON=$(PYTHON) was not found; choose Python 3.10 or newer, for example: make test PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "keras-vrnn needs Python 3.10 or newer, and $(PYTHON) is $$("$(PYTHON)" -V 2>&1);" \
	       "choose another, for example: make test PYTHON=python3.12" >&2; exit 1; }
	@"$(BIN)/python" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv "$(VENV)"
	@version() { "$$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }; \
	wanted=$$(version "$(PYTHON)"); found=$$(version "$(BIN)/python"); [ "$$wanted" = "$$found" ] || { \
	  echo "PYTHON=$(PYTHON) is Python $$wanted, but $(VENV) has Python $$found;" \
	       "run 'make clean' first or choose another folder with VENV=" >&2; exit 1; }
endif

# Removes only a folder that is a venv, because VENV could be anything.
clean:
	[ ! -f "$(VENV)/pyvenv.cfg" ] || rm -rf "$(VENV)"
	rm -f keras_vrnn/native/*.so
	rm -rf build dist out *.egg-info .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis
