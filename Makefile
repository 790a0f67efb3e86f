# Every target sets up what it needs; see deploy/setup.sh for what that is.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup test check demo compose-demo bench clean

$(BIN)/.ready: pyproject.toml setup.py deploy/setup.sh $(wildcard deploy/build/*.py)
	VENV=$(VENV) bash deploy/setup.sh
	touch $@

setup: $(BIN)/.ready

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup
	bash deploy/compose/setup.sh
	$(BIN)/python -m pytest -n 2 --dist loadscope tests

demo: setup
	$(BIN)/python deploy/demo.py

compose-demo: setup
	bash deploy/compose/setup.sh
	$(BIN)/python deploy/compose/demo.py

bench: setup
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) build dist *.egg-info kplane/api/data
