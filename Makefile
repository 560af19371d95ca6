# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3

.PHONY: dev
dev:  ## build the extension into python/fastcnn for work on this checkout
	cmake -S . -B build/dev -G Ninja -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE=$$($(PYTHON) -c 'import sys; print(sys.executable)') \
	  -Dpybind11_DIR=$$($(PYTHON) -m pybind11 --cmakedir)
	cmake --build build/dev -j 2
	cp build/dev/csrc/_C*.so python/fastcnn/
