# Two commands: `make run` opens the app, `make test` runs the tests. Each sets up .venv on first use.
# PYTHON names the interpreter that creates .venv (3.11 or newer).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
TOOLS   := $(VENV)/.installed-tools

.PHONY: run test check format bench clean

run: $(RUNTIME)
	@$(BIN)/python -m app web $(ARGS)

test: $(TOOLS)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TOOLS)
	@set -e; for file in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py) $(ARGS); done

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tandem needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "python3 -m venv failed: on Debian, apt-get install python3-venv" >&2; exit 2; }

# The stamps come last, so that an interrupted install is taken up again.
$(RUNTIME): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@touch $@

$(TOOLS): requirements-dev.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt --requirement requirements-dev.txt
	@touch $(RUNTIME) $@
