# `make book` and `make test` are all you need; each sets up .venv by itself.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
NOTEBOOKS = $(wildcard book/*.ipynb)
PROSE = README.md CHANGELOG.md CONTRIBUTING.md $(wildcard book/*.md) book/runs/README.md $(NOTEBOOKS) pixelcnn_edu tests tools benchmarks
# What computes and compares numbers, and so could come out otherwise on another machine.
NUMERICAL = $(patsubst %,tests/test_%.py,blocks cached causal data likelihoods models probes sampling training variants weights)
# In the order of their names: by the number of tests, xdist would leave the longest files for the end, and a core idle.
PYTEST = $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Nothing here downloads a data set; where you name a folder of your own, it is used.
ifeq ($(PIXELCNN_EDU_DATA),)
export PIXELCNN_EDU_OFFLINE := 1
endif

# Tests run in several processes. With a thread each they finish; with more, threads wait for one another, ten times as long.
export OMP_NUM_THREADS ?= 1

.PHONY: help install constraints book serve pdf slides quick test test-elsewhere format lint execute clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(READY)  ## set up .venv with the tested versions (the other targets do it when it is needed)

$(READY): requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This book needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt --constraint constraints.txt
	@touch $@

# PyTorch itself pins its GPU libraries, so they are left out: a smaller build of PyTorch needs none of them.
constraints:  ## look up the newest versions of all that requirements.txt needs, and pin them in constraints.txt
	$(PYTHON) -m venv _build/uv
	_build/uv/bin/pip install --quiet --disable-pip-version-check uv
	_build/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --annotation-style line --no-header \
	  --no-emit-package pixelcnn-edu requirements.txt | grep --extended-regexp '^[a-z]' \
	  | grep --extended-regexp --invert-match '^(nvidia|cuda|triton)' > _build/constraints.txt
	(echo '# Made by "make constraints": every package that requirements.txt pulls in, for Python 3.11 and newer.'; \
	  cat _build/constraints.txt) > constraints.txt

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

quick: $(READY)  ## run the package's tests alone: no browser, no notebook, no process of its own; in about a minute
	$(PYTEST) -m "not slow" $(NUMERICAL) $(patsubst %,tests/test_%.py,files package style)

test: lint  ## check style and spelling, run the tests, run every notebook and compare its outputs
	$(PYTEST) --ignore tests/test_colab.py --nbval tests $(NOTEBOOKS)

# Two processors that know different instructions sum in different order, and the last digits differ. The libraries can be
# told to use fewer than they could. A variant is the most they may use, and whether the notebooks find CIFAR-10.
VARIANTS ?= $(foreach most,AVX2 AVX512_CORE,$(most)-without $(if $(PIXELCNN_EDU_DATA),$(most)-with)) colab
test-elsewhere: $(VARIANTS:%=elsewhere-%)  ## run notebooks and numerical tests as on other processors, notebooks as on Colab

elsewhere-colab: $(READY)
	$(PYTEST) --dist load tests/test_colab.py

elsewhere-SSE41-%: export ATEN_CPU_CAPABILITY := default
elsewhere-AVX2-%: export ATEN_CPU_CAPABILITY := avx2
elsewhere-%-without: export PIXELCNN_EDU_DATA := /nowhere
elsewhere-%-without: export PIXELCNN_EDU_OFFLINE := 1
elsewhere-%: export ONEDNN_MAX_CPU_ISA = $(firstword $(subst -, ,$*))
elsewhere-%: $(READY)
	@$(BIN)/python -c 'import torch; print("$*: PyTorch computes with", torch.backends.cpu.get_cpu_capability())'
	$(PYTEST) --nbval $(NUMERICAL) $(NOTEBOOKS)

format: $(READY)  ## put code and notebooks into the style that lint checks, where ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(READY)  ## check style and spelling alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell --ignore-regex '[A-Za-z0-9+/=]{80,}' $(PROSE)

execute: $(READY)  ## run every notebook and store its outputs
	$(BIN)/python tools/execute.py $(NOTEBOOKS)

clean:  ## remove the built pages and the caches; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
