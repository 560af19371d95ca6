# Two commands set everything up on a fresh machine: `make demo` and `make test`. `make help` lists the others.
PYTHON ?= python3
JOBS ?= $(shell nproc)
# Backend of `make dev`: auto, on, off or emulated.
CUDA ?= auto
# Where `make gpu-check` leaves its logs and results.
OUT ?= build/gpu-check
# The optional second oracle of the tests, a CPU build of PyTorch; `make test TORCH=...` names another.
TORCH ?= torch==2.13.0+cpu
# Interpreter with tools/requirements-dev.txt: $(PYTHON) if it has them, else a virtual environment made for them.
DEV_PYTHON ?= $(if $(shell $(PYTHON) -c 'import pybind11, pytest' 2>/dev/null && echo yes),$(PYTHON),.venv-dev/bin/python)

CXX_FILES = $(shell git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' 'csrc/*.cuh')
CMAKE = PATH="$$(dirname $$(command -v $(DEV_PYTHON))):$$PATH" cmake -S . -G Ninja \
  -DPython_EXECUTABLE="$$($(DEV_PYTHON) -c 'import sys; print(sys.executable)')" \
  -Dpybind11_DIR="$$($(DEV_PYTHON) -m pybind11 --cmakedir)"
BUILD = PATH="$$(dirname $$(command -v $(DEV_PYTHON))):$$PATH" cmake --build

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' | column -t -s '|'

.PHONY: demo
demo:  ## fresh virtual environment, install, train LeNet-5 on real digits (offline after the install)
	tools/make_venv .venv-demo $(PYTHON)
	.venv-demo/bin/python -m pip install ".[demo]"
	.venv-demo/bin/fastcnn train

.PHONY: test
test:  ## fresh virtual environment, install with the test extra, run the tests against the installed package
	tools/make_venv .venv-test $(PYTHON)
	.venv-test/bin/python -m pip install ".[test]"
	@.venv-test/bin/python -m pip install $(TORCH) || { echo; echo \
	  "note: could not install '$(TORCH)': the tests against PyTorch will be skipped (see TORCH in the Makefile)"; echo; }
	.venv-test/bin/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

.PHONY: dev
dev: $(filter .venv-dev/bin/python,$(DEV_PYTHON))  ## build the extension into python/fastcnn for work on this checkout
	$(CMAKE) -B build/dev-$(CUDA) -DCMAKE_BUILD_TYPE=Release -DFASTCNN_CUDA=$(CUDA)
	$(BUILD) build/dev-$(CUDA) -j $(JOBS)
	cp --remove-destination build/dev-$(CUDA)/csrc/_C*.so python/fastcnn/

# GPU architectures of `make wheel`: release (see cmake/cuda.cmake), native, or a list like 80;90a; and its most bytes.
ARCHS ?= release
WHEEL_BYTES ?= 8000000
.PHONY: wheel
wheel:  ## the wheel with code for every GPU architecture in dist/; prints size and build time, fails beyond 8 MB
	@rm -f dist/fastcnn-*.whl; start=$$(date +%s); CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) \
	  $(PYTHON) -m pip wheel . --no-deps -w dist \
	  -C cmake.define.FASTCNN_CUDA=on -C "cmake.define.FASTCNN_CUDA_ARCHS=$(ARCHS)" && \
	  echo "built in $$(($$(date +%s) - start)) s"
	@bytes=$$(stat -c %s dist/fastcnn-*.whl) && echo "dist/fastcnn-*.whl has $$bytes bytes" && \
	  { test $$bytes -le $(WHEEL_BYTES) || { echo "make wheel: at most $(WHEEL_BYTES) are allowed" >&2; exit 1; }; }

.PHONY: lint
lint: $(filter .venv-dev/bin/python,$(DEV_PYTHON))  ## ruff, mypy --strict and clang-format; changes nothing
	$(DEV_PYTHON) -m ruff check .
	$(DEV_PYTHON) -m ruff format --check .
	$(DEV_PYTHON) -m mypy
	@echo clang-format
	@PATH="$$(dirname $$(command -v $(DEV_PYTHON))):$$PATH" clang-format --dry-run -Werror $(CXX_FILES)

.PHONY: format
format: $(filter .venv-dev/bin/python,$(DEV_PYTHON))  ## apply ruff's and clang-format's formatting
	$(DEV_PYTHON) -m ruff check --fix .
	$(DEV_PYTHON) -m ruff format .
	PATH="$$(dirname $$(command -v $(DEV_PYTHON))):$$PATH" clang-format -i $(CXX_FILES)

.PHONY: stubs
stubs: dev  ## regenerate python/fastcnn/_C.pyi (the tests compare it with the built module)
	PYTHONPATH=python $(DEV_PYTHON) tools/stubs.py

# $(call stage,FOLDER): a copy of the package in FOLDER/python with the module built in FOLDER.
stage = rm -rf $(1)/python && mkdir -p $(1)/python && cp -r python/fastcnn $(1)/python/ && \
  rm -f $(1)/python/fastcnn/_C*.so && cp $(1)/csrc/_C*.so $(1)/python/fastcnn/

.PHONY: sanitize
sanitize: $(filter .venv-dev/bin/python,$(DEV_PYTHON))  ## AddressSanitizer + UBSan build, and the fast tests on it
	$(CMAKE) -B build/sanitize -DCMAKE_BUILD_TYPE=RelWithDebInfo -DFASTCNN_SANITIZE=ON -DFASTCNN_CUDA=off
	$(BUILD) build/sanitize -j $(JOBS)
	$(call stage,build/sanitize)
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 FASTCNN_SANITIZED=1 \
	  PYTHONPATH=build/sanitize/python $(DEV_PYTHON) -m pytest --capture=sys -m "not slow" $(PYTEST_ARGS)

.PHONY: test-emulated
test-emulated: $(filter .venv-dev/bin/python,$(DEV_PYTHON))  ## the CUDA kernels compiled for the CPU, and their tests
	$(CMAKE) -B build/emulated -DCMAKE_BUILD_TYPE=Release -DFASTCNN_CUDA=emulated
	$(BUILD) build/emulated -j $(JOBS)
	$(call stage,build/emulated)
	FASTCNN_EMULATED_PRIVATE=1 PYTHONPATH=build/emulated/python $(DEV_PYTHON) -m pytest \
	  $(wildcard tests/test_cuda*.py tests/test_emulator*.py) $(PYTEST_ARGS)

.PHONY: cuda-check
cuda-check: $(filter .venv-dev/bin/python,$(DEV_PYTHON))  ## registers and spills of the kernels for sm_80 and sm_90a
	$(DEV_PYTHON) tools/check_cuda_kernels.py --jobs $(JOBS)

.PHONY: gpu-check
gpu-check:  ## on a machine with a GPU: build, tests, compute-sanitizer, a training, benchmarks; offline, 10 minutes
	$(PYTHON) tools/gpu_check.py --out $(OUT)

.venv-dev/bin/python: tools/requirements-dev.txt
	tools/make_venv .venv-dev $(PYTHON)
	.venv-dev/bin/python -m pip install -r tools/requirements-dev.txt
	touch $@
