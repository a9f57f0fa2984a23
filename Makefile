# Everything happens in .venv; each step does its own set-up and is quick when nothing changed.
#   make demo    index the documentation and a small corpus, and ask three questions
#   make test    lint, types, import layers, and every test
#   make soak    what takes longer: thousands of random histories, a kill at every step, readers beside a killed writer
#   make bench   hookrag beside what it is compared with, in an environment of their own (2 GB)
#   make results our figures beside the published ones, into docs/results.md; HOOKRAG_DATA names the collections
#   make tables  the tables of options in the documentation, from the constructors
#   make clean   remove the environments and what the demo made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/*/pyproject.toml))
PACKAGES := core $(patsubst %/pyproject.toml,%,$(PLUGINS))
DEFAULT := text chunking citations transformers stores segments faiss milvus lexical fusion cross-encoder extractive readers
DEMO_PACKAGES := core $(addprefix plugins/,$(DEFAULT))
PIP := $(BIN)/python -m pip --disable-pip-version-check
BENCH := .venv-bench
BENCH_PIP := $(BENCH)/bin/python -m pip --disable-pip-version-check
EDITABLE = $(foreach package,$(1),--editable $(package))
export PYTHONUTF8 := 1

.PHONY: demo test lint types layers soak bench results tables clean

demo: $(VENV)/.demo
	@$(BIN)/python examples/demo/demo.py

test: lint types layers
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not soak' -n 2 --dist loadfile

lint: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || (echo "run: $(BIN)/ruff format ."; exit 1)

types: $(VENV)/.test
	@$(BIN)/mypy

layers: $(VENV)/.test
	@$(BIN)/lint-imports --no-cache >$(VENV)/layers.log || (cat $(VENV)/layers.log; exit 1)
	@tail -n 2 $(VENV)/layers.log

soak: $(VENV)/.test
	@$(PIP) install -qq --constraint constraints.txt milvus
	@HOOKRAG_HISTORIES=4000 HOOKRAG_SOAK=1 HOOKRAG_MILVUS_SERVER=$(abspath $(BIN)/milvus-server) \
		$(BIN)/python -m pytest --quiet --timeout=0 core/tests/ingest/test_history.py core/tests/ingest/test_machine.py \
		core/tests/ingest/test_power.py tests/faults plugins/milvus plugins/*/tests/test_*crash*.py \
		plugins/*/tests/test_*process*.py plugins/*/tests/test_*fault*.py

# OPTIONS="--only bm25 --rounds 3" and others: benchmarks/run.py --help
bench: $(BENCH)/.ready
	@$(BENCH)/bin/python benchmarks/run.py $(OPTIONS)

$(BENCH)/.ready: constraints.txt benchmarks/requirements.txt core/pyproject.toml $(PLUGINS) | $(VENV)/bin/python
	@echo "== making $(BENCH) with what hookrag is compared with"
	@$(BIN)/python -m venv $(BENCH)
	@printf '*\n' >$(BENCH)/.gitignore
	@$(BENCH_PIP) install -qq --constraint constraints.txt --upgrade pip hatchling editables
	@$(BENCH_PIP) install -qq --constraint constraints.txt --no-build-isolation --no-warn-conflicts \
		$(call EDITABLE,$(DEMO_PACKAGES)) -r benchmarks/requirements.txt
	@# LlamaIndex's part for bm25s asks for PyStemmer below 3, and runs with the version that hookrag-lexical asks for.
	@$(BENCH_PIP) install -qq --no-deps llama-index-retrievers-bm25==0.8.0
	@$(BENCH)/bin/hookrag models fetch all-MiniLM-L6-v2
	@touch $@

results: $(VENV)/.test
	@$(BIN)/python benchmarks/results.py $(OPTIONS)

tables: $(VENV)/.test
	@$(BIN)/python tests/option_tables.py

# The environment has what the demo needs; the tools for tests come on top, so that a newcomer does not wait for them.

$(VENV)/bin/python:
	@echo "== making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("hookrag needs Python 3.11 or newer, this is %d.%d" % sys.version_info[:2]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -qq --constraint constraints.txt --upgrade pip hatchling editables

$(VENV)/.demo: constraints.txt core/pyproject.toml $(PLUGINS) | $(VENV)/bin/python
	@echo "== installing hookrag and the default plugins"
	@$(PIP) install -qq --constraint constraints.txt --no-build-isolation $(call EDITABLE,$(DEMO_PACKAGES))
	@echo "== fetching the models"
	@$(BIN)/hookrag models fetch all-MiniLM-L6-v2 ms-marco-MiniLM-L-12-v2
	@touch $@

$(VENV)/.test: $(VENV)/.demo requirements-test.txt
	@echo "== installing every plugin and the tools for tests"
	@$(PIP) install -qq --constraint constraints.txt --no-build-isolation $(call EDITABLE,$(PACKAGES)) -r requirements-test.txt
	@$(BIN)/hookrag models fetch --all
	@touch $@

clean:
	rm -rf $(VENV) $(BENCH) examples/demo/.hookrag .mypy_cache .ruff_cache .pytest_cache .hypothesis
