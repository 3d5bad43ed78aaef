# Two commands on a fresh machine: `make demo` and `make test`. Each builds .venv from the lock file first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test check format bench soak lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "payhealth needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: $(READY) ## live through a simulated business with planted faults, and find them
	$(BIN)/payhealth demo $(if $(SEED),--seed $(SEED))

test: $(READY) ## the whole suite
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

check: $(READY) ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY) ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## what is claimed about speed, measured here
	$(BIN)/python -m benchmarks

soak: $(READY) ## what takes long: many demo seeds, the daemon over many ticks, webhooks
	$(BIN)/python -m benchmarks.soak

lock: $(READY) ## renew the lock file
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --group dev --extra demo --custom-compile-command 'make lock' pyproject.toml --output-file requirements.lock

clean: ## remove what was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis node_modules
