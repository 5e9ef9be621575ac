# Two commands do all the set-up: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check model evaluate clean

demo: .venv/installed
	$(BIN)/python run_compare.py --config recipes/demo.toml

test: .venv/installed
	$(BIN)/python -m pytest -n 2

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy

# The embedded model again, from scratch, and the table of its model card.
model: .venv/installed
	$(BIN)/python -m models.tiny.train --seed 1 --out runs/tiny

evaluate: .venv/installed
	$(BIN)/python -m models.tiny.evaluate

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
