# One command each. `make full` is what CI runs; `.ci/run STEP` runs one of its steps.
PYTHON ?= python3
BUILD = build/dev
# CUDA kernels take minutes to compile: FASTGRAD_CUDA=ON make dev, when they are what is worked on.
CUDA = $(or $(FASTGRAD_CUDA),OFF)
PIP_EDITABLE = $(PYTHON) -m pip install -q --no-build-isolation --no-deps -C build-dir=$(BUILD) -C cmake.define.FASTGRAD_LTO=OFF \
  -C cmake.define.FASTGRAD_CUDA=$(CUDA)
CXX_FILES = $(shell git ls-files -co --exclude-standard 'csrc/*.cpp' 'csrc/*.h' 'csrc/*.cu' 'csrc/*.cuh')

.PHONY: dev test full bench lint fmt clean

# Compiles what changed and points the installed package at python/fastgrad.
dev:
	$(PIP_EDITABLE) -e .

test: dev
	$(PYTHON) -m pytest -n auto

# Everything CI checks.
full:
	bash .ci/run

bench:
	$(PYTHON) -m benchmarks --against torch

lint:
	ruff check python tests benchmarks examples
	clang-format --dry-run -Werror $(CXX_FILES)

fmt:
	ruff check --fix python tests benchmarks examples
	clang-format -i $(CXX_FILES)

clean:
	rm -rf build dist
