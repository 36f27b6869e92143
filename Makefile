# `make book` and `make test` are all you need; each sets up .venv by itself.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
NOTEBOOKS = $(wildcard book/*.ipynb)
PROSE = README.md CHANGELOG.md CONTRIBUTING.md $(wildcard book/*.md) book/runs/README.md $(NOTEBOOKS) pixelcnn_edu tests tools benchmarks
# In the order of their names: by the number of tests, xdist would leave the longest files for the end, and a core idle.
PYTEST = $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Nothing here downloads a data set; where you name a folder of your own, it is used.
ifeq ($(PIXELCNN_EDU_DATA),)
export PIXELCNN_EDU_OFFLINE := 1
endif

# Tests run in several processes. With a thread each they finish; with more, threads wait for one another, ten times as long.
export OMP_NUM_THREADS ?= 1

.PHONY: help install book serve pdf slides test lint execute clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(READY)  ## set up .venv with the tested versions (the other targets do it when it is needed)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This book needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

# An earlier build is removed first: Sphinx repeats no warning about a page that has not changed, and would then pass.
book: $(READY)  ## build the pages, with every warning an error
	rm -rf _build
	$(BIN)/jupyter-book build -W -n --keep-going book/
	$(BIN)/python tools/check_build.py

serve: book  ## build the pages and show them on http://localhost:8000
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

pdf: $(READY)  ## print the whole book into _build/pixelcnn-edu.pdf (needs Chromium)
	$(BIN)/jupyter-book build -W -n --keep-going --builder singlehtml book/
	$(BIN)/python tools/print_book.py

slides: $(READY)  ## make slides from the tagged cells of the chapters, in _build/slides
	$(BIN)/python -m tools.slides

test: lint  ## check style and spelling, run the tests, run every notebook and compare its outputs
	$(PYTEST) tests
	$(if $(NOTEBOOKS),$(PYTEST) --nbval $(NOTEBOOKS),@echo "There are no notebooks.")

lint: $(READY)  ## check style and spelling alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell --ignore-regex '[A-Za-z0-9+/=]{80,}' $(PROSE)

execute: $(READY)  ## run every notebook and store its outputs
	$(BIN)/python tools/execute.py $(NOTEBOOKS)

clean:  ## remove the built pages and the caches; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
