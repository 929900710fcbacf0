# `make demo` and `make test` do all set-up themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench docs lint format clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: .venv/ready
	$(BIN)/passion demo --out demo

test: .venv/ready
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --cov --cov-report=term

bench: .venv/ready
	$(BIN)/python benchmarks/speed.py $(or $(NAME),$(shell hostname -s))

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: .venv/ready
	$(BIN)/ruff check src tests benchmarks docs/*.py
	$(BIN)/ruff format --check src tests benchmarks docs/*.py
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff format src tests benchmarks docs/*.py
	$(BIN)/ruff check --fix src tests benchmarks docs/*.py

clean:
	rm -rf .venv build dist demo site
