# Every target builds the virtual environment it needs from python3 alone.
PYTHON ?= python3
DEV := .venv
CHAT := .venv-chat
TESTS ?= tests/unit_tests tests/integration_tests
WORKERS ?= auto

MODELS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/langchain-hybrid-memory

.PHONY: chat test notebooks fault-run kill-matrix isolation lint format bench bench-recall bench-cache clean

chat: $(CHAT)/.ready ## Talk to an agent that remembers you: make chat ARGS="--user alex"
	@$(CHAT)/bin/hybrid-memory chat $(ARGS)

test: $(DEV)/.ready ## Run the tests: no key, no model download, no network
	$(DEV)/bin/pytest -n $(WORKERS) --dist loadfile $(TESTS) $(ARGS)

notebooks: $(DEV)/.ready ## Execute the notebooks in place: no key, no model download, no network
	$(DEV)/bin/python -m tests.notebooks notebooks/*.ipynb

fault-run: $(DEV)/.ready ## Live 1,000 turns (`make test`: 20) in which 30 % of model calls, embeddings and store writes fail
	$(DEV)/bin/pytest tests/integration_tests/test_fault_run.py --full --log-cli-level=INFO --timeout=7200 $(ARGS)

kill-matrix: $(DEV)/.ready ## Kill the process at every step, 100 times each (`make test`: 10)
	$(DEV)/bin/pytest tests/integration_tests/test_kill_matrix.py --full --timeout=7200 $(ARGS)

isolation: $(DEV)/.ready ## Have users with hostile ids read everything 100,000 times (`make test`: 10,000), over every store
	$(DEV)/bin/pytest tests/integration_tests/test_isolation.py --full --log-cli-level=INFO --timeout=7200 $(ARGS)

lint: $(DEV)/.ready ## Check style, types and layers
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports

format: $(DEV)/.ready ## Rewrite the code in the project's style
	$(DEV)/bin/ruff format .
	$(DEV)/bin/ruff check --fix .

bench: $(DEV)/.ready ## Measure what memory adds to a turn, its model calls beside others', what the store costs and how long recall takes
	$(DEV)/bin/python -m tests.benchmarks $(ARGS)
	$(DEV)/bin/python -m tests.benchmarks.store --out store.json
	$(DEV)/bin/python -m tests.benchmarks.recall_time --out recall-time.json

bench-recall: $(DEV)/.ready ## Measure recall: make bench-recall DATA=file.json OUT=results.json ARGS="--no-speaker"
	$(DEV)/bin/python -m tests.benchmarks.recall $(DATA) --out $(OUT) --models "$(MODELS)" $(ARGS)

bench-cache: $(DEV)/.ready ## Measure how much of each prompt a prefix cache could reuse: figures and a plot
	$(DEV)/bin/python -m tests.benchmarks.prompt_cache --out prompt-cache.json $(ARGS)

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
