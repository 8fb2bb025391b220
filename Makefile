# Each target sets up .venv if necessary.
PYTHON ?= python3
VENV := .venv
MINIMUM := .venv-minimum
BIN := $(VENV)/bin
# The oldest Python that is supported, where it is at hand.
OLDEST ?= $(or $(shell command -v python3.11),$(PYTHON))
WORKERS ?= 2
export MPLBACKEND := Agg

.PHONY: demo test test-slow test-minimum dist-check lint docs clean-docs bench bench-scale evidence
.PHONY: clean

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[plots]'
	touch $@

$(VENV)/.tests: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[tests]'
	touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

$(MINIMUM)/.tests: pyproject.toml constraints-minimum.txt
	test -x $(MINIMUM)/bin/python || $(OLDEST) -m venv $(MINIMUM)
	$(MINIMUM)/bin/python -m pip install --quiet -c constraints-minimum.txt -e '.[tests]'
	touch $@

# make demo                           the simulated bank
# make demo DATA=path/to/superlender  a real lender's files
# Two folds run in parallel, each on one thread.
demo: $(VENV)/.demo
	OMP_NUM_THREADS=1 $(BIN)/python examples/demo.py $(if $(DATA),--data "$(DATA)")

# One torch thread per worker: two workers use two cores. With SCIPY_ARRAY_API no check is skipped.
# With loadgroup only one worker starts Spark.
PYTEST := python -m pytest -n $(WORKERS) --dist loadgroup --durations 20
ON_TWO_CORES := OMP_NUM_THREADS=1 SCIPY_ARRAY_API=1

test: $(VENV)/.tests
	$(ON_TWO_CORES) $(BIN)/$(PYTEST) -m "not slow"

# Tests that run pages, examples, evidence, benchmarks, Spark or other processes.
test-slow: $(VENV)/.tests
	$(ON_TWO_CORES) $(BIN)/$(PYTEST) -m slow

# Both with the oldest supported versions. Many indexes have that torch with CUDA only, 3 GB.
test-minimum: $(MINIMUM)/.tests
	$(ON_TWO_CORES) $(MINIMUM)/bin/$(PYTEST)

# make dist-check                              the wheel, and the whole suite from the sdist
# make dist-check TESTS=tests/test_package.py  a part of it
# Installs everything once more, outside the repository.
dist-check:
	PYTHON="$(PYTHON)" bash .ci/distribution $(TESTS)

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# make docs           the site in build/site; a warning is an error
# make docs QUICK=1   without running the examples of the gallery
# An example that has not changed is not run again. make clean-docs forgets them.
docs: $(VENV)/.docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -b html -c docs -d build/doctrees -W --keep-going \
		$(if $(QUICK),-D plot_gallery=0) . build/site
	$(BIN)/python docs/check_site.py build/site

clean-docs:
	rm -rf build/site build/doctrees build/gallery docs/gallery docs/reference/generated docs/reference/used_in

# Runs all benchmarks one after the other, writes docs/speed.md, and computes the table in
# docs/scale.md from it. The speed of pre-training goes to docs/evidence/pretraining. Nothing else
# should run at the same time.
bench: $(VENV)/.tests
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/sizing.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/speed_of_pretraining.py --output docs/evidence/pretraining

# make evidence                            measures what docs/evidence does not have yet and writes
#                                          docs/evidence.md
# make evidence RESULTS=folder             measures everything; results and page in that folder
# make evidence ARGUMENTS="--data bank_b"  measures a part; see --help
# At full size it takes many hours.
evidence: $(VENV)/.tests
	OMP_NUM_THREADS=1 $(BIN)/python evidence/run.py \
		$(if $(RESULTS),--results "$(RESULTS)") $(ARGUMENTS)

# Processes 100 million events on this machine and writes docs/scale_measured.md. Needs 30 GB of
# disk.
bench-scale: $(VENV)/.tests
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/out_of_memory.py

clean: clean-docs
	rm -rf $(VENV) $(MINIMUM) demo_output
