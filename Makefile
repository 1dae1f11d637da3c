# make demo | test | check | bench: each makes .venv if it is missing, installs what it needs, and does its job.
# It needs Python 3.11 or newer and a package index; nothing else has to be installed.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SAMPLE := burnish/vision/sample

# Two test processes on two cores: a thread pool inside each would only make them wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# Whole files go to a process, as those of a file share what was trained for them; in their order, so that no long one is left for the end.
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Compiled once and kept, also where the environment forbids it: else each process that the tests start compiles torch and all that it imports anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test check format bench clean

help:
	@echo "make demo    fine-tune ImageNet weights on the sample photographs; results in demo/ (under 3 minutes)"
	@echo "make test    every test (fetches real data once, into ~/.cache/burnish-test-data)"
	@echo "make check   format, lint, types, architecture and the fast tests"
	@echo "make format  mend format and lint where that can be done by machine"
	@echo "make bench   burnish beside fastai on this machine (hours; see benchmarks/README.md)"

# The lock names everything, so nothing is worked out; in two halves at a time, as pip unpacks with one core, and what torch brings for GPUs is half of all bytes.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
LARGE := ^(nvidia|triton)

# Made anew when what it is made from changes. The lock says which versions; pip check says that they satisfy pyproject.toml.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else f"burnish needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Say which: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	grep -E '$(LARGE)' requirements.lock > $(VENV)/large.txt
	grep -vE '$(LARGE)' requirements.lock > $(VENV)/others.txt
	$(INSTALL) --no-compile -r $(VENV)/large.txt & large=$$!; $(INSTALL) --no-compile -r $(VENV)/others.txt; others=$$?; wait $$large && exit $$others
	$(INSTALL) --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

demo: $(READY)
	$(BIN)/burnish train sample --arch tf_efficientnet_lite0 --weights offline --epochs 3 --out demo
	$(BIN)/burnish predict demo/model.burnish $(SAMPLE)/unseen/*.jpg

test: $(READY)
	$(PYTEST) $(SHARED)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(PYTEST) tests/test_architecture.py
	$(PYTEST) $(SHARED) -m "not slow and not data"

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf demo build dist *.egg-info .pytest_cache .ruff_cache
