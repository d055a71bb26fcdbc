# People and CI run the same targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Compiled modules are kept: without them every start compiles the libraries anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo tour test thorough faults check bench setup clean

setup: $(VENV)/.ready var/models/current.json

# The model is trained anew when what it learns from or how it learns has changed; a checkout follows its examples
# even where they make it worse.
var/models/current.json: $(wildcard config/scenarios/*.yaml config/lexicon/*.txt intents/*.py) | $(VENV)/.ready
	$(BIN)/huitou train --force

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Huitou needs Python 3.11 or newer; make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	$(BIN)/huitou demo

tour: setup
	$(BIN)/huitou demo --tour

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Everything but the fault tests: every transcript in three ways, all on both engines, all examples.
thorough: setup
	HUITOU_TEST_THOROUGH=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not faults"

faults: setup
	$(BIN)/python -m pytest -m faults

check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/huitou check

bench: setup
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) var build *.egg-info
