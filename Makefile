# Each target sets up what it needs in .venv, also on a fresh machine.
PYTHON ?= python3
VENV := .venv
DEMO := ameae,sparse-ameae,denoising-ameae,ae,dae,sparse-ae,rbm,stacked-dae,bigan,untrained,raw-pixels,pca

.PHONY: demo test coverage docs build perf mutate lint clean

$(VENV)/.installed: pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	rm -rf reprbench.egg-info  # one of an older checkout is not updated, and its entry points would come first
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]"
	touch $@

# The rows of the paper and its controls that take seconds; without --methods there are 28, in about five minutes.
# Its own store: with the finished trials in results/ nothing would run.
demo: $(VENV)/.installed
	$(VENV)/bin/reprbench run --benchmark quick --methods $(DEMO) --jobs 2 --store demo; status=$$?; \
	$(VENV)/bin/reprbench report demo --benchmark quick --format html -o report.html && \
	echo "HTML report: $(CURDIR)/report.html"; exit $$status

test: $(VENV)/.installed
	$(VENV)/bin/python -m pytest

# Tracing lines and branches doubles the time of tests.
coverage: $(VENV)/.installed
	$(VENV)/bin/python -m pytest --cov --cov-report=term:skip-covered

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

build: $(VENV)/.installed
	rm -rf dist
	$(VENV)/bin/python -m build
	$(VENV)/bin/python -m twine check --strict dist/*

perf: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet --editable ".[perf]"
	$(VENV)/bin/python -m pytest tests/perf -s

mutate: $(VENV)/.installed
	$(VENV)/bin/python tests/mutation/mutate.py --jobs 2

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python .ci/check_commits.py

clean:
	rm -rf $(VENV) .reprbench
