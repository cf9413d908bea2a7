# make demo   a first forecast           make test    everything that can be tested without a GPU
# make lint   style, types, layers       make docs    rewrite the output shown in README and docs/
# make trace  the same, by the real code on a device that stores nothing (installs torch)
# make bench  how fast it answers        make clean   remove what these made
# make bench-peers  the trace's speed beside torch's MemTracker: docs/trace-speed.md
# make ledger  what others measured, beside the forecasts: docs/ledger.md (ENGINE=trace for training rows too)
# make ledger-gpu   real steps on a real GPU, and how far both engines are from them

PYTHON ?= python3
BIN := .venv/bin
DEMO := vramcast predict llama-3.1-8b --method qlora --gpu rtx-4090

.DELETE_ON_ERROR:
.PHONY: demo trace test lint docs bench bench-peers ledger ledger-gpu clean

demo: .venv/base.stamp
	@echo '$$ $(DEMO)'
	@$(BIN)/$(DEMO)

trace: .venv/trace.stamp
	@echo '$$ $(DEMO) --exact'
	@$(BIN)/$(DEMO) --exact

test: .venv/dev.stamp
	$(BIN)/python -m pytest -n auto --benchmark-disable

lint: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: .venv/dev.stamp
	$(BIN)/python -m tests.docs.console README.md README.zh-CN.md docs docs/trace

bench: .venv/dev.stamp
	$(BIN)/python -m pytest tests/benchmarks -m speed --benchmark-only --benchmark-columns=min,median,ops,rounds

bench-peers: .venv/dev.stamp
	$(BIN)/python -m benchmarks.mem_tracker docs/trace-speed.md

ENGINE ?= rules
ledger: .venv/dev.stamp
	$(BIN)/python -m ledger.published --engine $(ENGINE)

# Where there is a CUDA GPU and torch for it: PYTHON, for the environment made here has torch for the CPU.
ledger-gpu:
	PYTHONPATH=src:. $(PYTHON) -m ledger.gpu_matrix

clean:
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: what is installed is renewed when pyproject.toml changes. The package itself is installed in place, and
# compiled here, as pip compiles the rest: the first answer is as quick as the second.
.venv/made.stamp:
	$(PYTHON) -m venv .venv
	@touch $@

.venv/base.stamp: .venv/made.stamp pyproject.toml
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@$(BIN)/python -m compileall -q src
	@touch $@

# An unpinned torch brings gigabytes of CUDA libraries; the trace needs none of them.
.venv/trace.stamp: .venv/base.stamp
	$(BIN)/python -m pip install -qq --disable-pip-version-check torch==2.13.0 --editable '.[trace]'
	@touch $@

.venv/dev.stamp: .venv/base.stamp
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@
