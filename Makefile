# Every target builds the virtual environment it needs from python3 alone.
PYTHON ?= python3
DEV := .venv
CHAT := .venv-chat
TESTS ?= tests/unit_tests tests/integration_tests

MODELS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/langchain-hybrid-memory

.PHONY: chat test lint format bench bench-recall clean

chat: $(CHAT)/.ready ## Talk to an agent that remembers you: make chat ARGS="--user alex"
	@$(CHAT)/bin/hybrid-memory chat $(ARGS)

test: $(DEV)/.ready ## Run the tests: no key, no model download, no network
	$(DEV)/bin/pytest $(TESTS) $(ARGS)

lint: $(DEV)/.ready ## Check style, types and layers
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports

format: $(DEV)/.ready ## Rewrite the code in the project's style
	$(DEV)/bin/ruff format .
	$(DEV)/bin/ruff check --fix .

bench: $(DEV)/.ready ## Measure checkpoint growth and the time memory adds to a turn
	$(DEV)/bin/python -m tests.benchmarks $(ARGS)

bench-recall: $(DEV)/.ready ## Measure recall: make bench-recall DATA=file.json OUT=results.json ARGS="--no-speaker"
	$(DEV)/bin/python -m tests.benchmarks.recall $(DATA) --out $(OUT) --models "$(MODELS)" $(ARGS)

$(CHAT)/.ready: pyproject.toml
	$(PYTHON) -m venv $(CHAT)
	$(CHAT)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(CHAT)/bin/python -m pip install --quiet --editable ".[sqlite,local]"
	@touch $@

$(DEV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(DEV)/bin/python -m pip install --quiet --editable ".[sqlite]" --group dev
	@touch $@

clean:
	rm -rf $(DEV) $(CHAT) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
