# make demo            trains a small gMLP on handwritten digits; BACKEND=jax or torch does it there
# make test            the whole test suite on TensorFlow, JAX and PyTorch; BACKENDS=jax on one. Leaves a report
#                      of each in runs/, of which python -m tests.support_matrix makes a table
# make benchmark       measures a few models beside timm's; ARGS="--config gmlp" more of them
# make lint            checks style and formatting; make format repairs what it can
# Each makes the environment that it needs. ARGS="..." is handed on.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: demo test benchmark lint format clean

PYTHON ?= python3
BACKEND ?= tensorflow
BACKENDS ?= tensorflow jax torch
ARGS ?=
DEMO = runs/demo-$(BACKEND)
BENCHMARK = runs/benchmark-$(shell date +%Y%m%d-%H%M%S)
INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

demo: .venv/installed-$(BACKEND)
	rm -rf $(DEMO)
	KERAS_BACKEND=$(BACKEND) .venv/bin/python -m recipes.image_classification --run_dir $(DEMO) $(ARGS)

test: .venv-test/installed
	status=0; report=""; \
	for backend in $(BACKENDS); do \
	    log=$$(mktemp); \
	    KERAS_BACKEND=$$backend .venv-test/bin/python -m pytest --numprocesses auto --dist worksteal --junitxml runs/tests-$$backend.xml $(ARGS) 2>&1 | tee $$log || status=1; \
	    report+="$$(printf '%-10s' $$backend) $$(tail -n 1 $$log)"$$'\n'; \
	    rm $$log; \
	done; \
	printf '\n%s' "$$report"; \
	exit $$status

benchmark: .venv-benchmark/installed
	.venv-benchmark/bin/python -m recipes.benchmark --run_dir $(BENCHMARK) $(ARGS)

lint: .venv-test/installed
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .

format: .venv-test/installed
	.venv-test/bin/ruff check --fix .
	.venv-test/bin/ruff format .

clean:
	rm -rf .venv .venv-test .venv-benchmark

.venv/installed-%: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing Keras, TensorFlow (for its data pipelines) and $* ..."
	.venv/bin/python $(INSTALL) ".[recipes,$*]"
	touch $@

.venv-test/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	@echo "Installing Keras with all three backends, the recipes and the tests ..."
	.venv-test/bin/python $(INSTALL) ".[tensorflow,jax,torch,language,test,lint]"
	touch $@

.venv-benchmark/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-benchmark
	@echo "Installing Keras with all three backends, and the libraries to compare with ..."
	@# timm needs torchvision, whose wheels on PyPI need PyPI's build of PyTorch: === takes no other.
	torch=$$(sed -n 's/^torch==/torch===/p' constraints.txt); \
	.venv-benchmark/bin/python $(INSTALL) ".[tensorflow,jax,torch,benchmark]" "$$torch"
	touch $@
