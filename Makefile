# `make demo` runs the main job, `make test` passes the tests; both create the environment first, with the first of
# python3.11, python3.12 and python3.13 that works, or with `PYTHON=...`.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-fast coverage lint fix bench docs lock clean
.DEFAULT_GOAL := test

$(STAMP): pyproject.toml constraints.txt
	@.ci/environment $(VENV) $(PYTHON)
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m examples.flight_delay.demo

test: $(STAMP)
	$(BIN)/python -m compileall -q cleanroom_algo  # processes that tests start would do it each time
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Only the tests that start no process of this project: seconds instead of minutes.
test-fast: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m unit

# Coverage by those tests: code that runs only in containers and ranks counts as not covered.
coverage: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check coverage
	$(BIN)/coverage run --source cleanroom_algo --data-file .venv/.coverage -m pytest -m unit --quiet
	$(BIN)/coverage report --data-file .venv/.coverage --skip-covered --sort cover

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --no-cache .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.build --check
	$(BIN)/python -m docs.phrases

fix: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# The generated reference, and the site in site/, with warnings as errors.
docs: $(STAMP)
	$(BIN)/python -m docs.build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# The packages of the image, with their hashes. The CPU build of torch is looked for in UV_INDEX or UV_FIND_LINKS.
LOCKS := container/locks
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --constraint constraints.txt
IMAGE := $(LOCK) --override $(LOCKS)/left-out.in pyproject.toml $(LOCKS)/image.in
lock: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) $(LOCKS)/build.in --output-file $(LOCKS)/build.txt
	$(IMAGE) --override $(LOCKS)/no-torch.in --output-file $(LOCKS)/none.txt
	$(IMAGE) --constraint $(LOCKS)/cpu.in --output-file $(LOCKS)/cpu.txt
	$(IMAGE) --constraint $(LOCKS)/cuda.in --output-file $(LOCKS)/cuda.txt

clean:
	rm -rf .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
