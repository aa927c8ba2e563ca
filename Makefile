# make demo            trains a small gMLP on handwritten digits; BACKEND=jax or torch does it there
# make check           for the loop of a developer, in about three minutes, on JAX; BACKEND=torch or tensorflow there:
#                      formulas of the layers, models, weights and files, and short runs of the recipes. It
#                      leaves out what starts Python anew, what takes many seconds, and the studies
# make test            the whole test suite on TensorFlow, JAX and PyTorch; BACKENDS=jax on one. Leaves a report
#                      of each in runs/, of which python -m tests.support_matrix makes a table
# make benchmark       measures a few models beside timm's; ARGS="--config gmlp" more of them
# make package         builds wheel and source distribution into dist/, checks them, and runs tests of the one on
#                      the package of the other, in an environment with JAX alone
# make docs            builds the site into docs/_build/html, with the output of every example on its pages, and
#                      follows its links
# make lint            checks style and formatting; make format repairs what it can
# Each makes the environment that it needs. ARGS="..." is handed on.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: demo check test benchmark package docs lint format clean

PYTHON ?= python3
BACKEND ?= tensorflow
BACKENDS ?= tensorflow jax torch
PYTEST = .venv-test/bin/python -m pytest --numprocesses auto --dist worksteal --durations 15
ARGS ?=
DEMO = runs/demo-$(BACKEND)
BENCHMARK = runs/benchmark-$(shell date +%Y%m%d-%H%M%S)
PACKAGE = runs/package
INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

demo: .venv/installed-$(BACKEND)
	rm -rf $(DEMO)
	KERAS_BACKEND=$(BACKEND) .venv/bin/python -m recipes.image_classification --run_dir $(DEMO) $(ARGS)

# What JAX compiled in one check, it has in the next one.
check: BACKEND = jax
check: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.venv-test/jax
check: .venv-test/installed
	KERAS_BACKEND=$(BACKEND) $(PYTEST) -m "not process and not slow" --ignore tests/studies $(ARGS)

test: .venv-test/installed
	status=0; report=""; \
	for backend in $(BACKENDS); do \
	    log=$$(mktemp); \
	    KERAS_BACKEND=$$backend $(PYTEST) --junitxml runs/tests-$$backend.xml $(ARGS) 2>&1 | tee $$log || status=1; \
	    report+="$$(printf '%-10s' $$backend) $$(tail -n 1 $$log)"$$'\n'; \
	    rm $$log; \
	done; \
	printf '\n%s' "$$report"; \
	exit $$status

benchmark: .venv-benchmark/installed
	.venv-benchmark/bin/python -m studies.speed --run_dir $(BENCHMARK) $(ARGS)

# The tests lie apart from the checkout's package, with that of the wheel alone to find. What they leave out
# needs KerasHub, safetensors or PyTorch.
package: .venv-package/installed
	rm -rf dist $(PACKAGE)
	.venv-package/bin/python -m build
	.venv-package/bin/twine check --strict dist/*
	mkdir -p $(PACKAGE)
	tar -xf dist/*.tar.gz --strip-components 1 --exclude '*/keras_gimlp' --directory $(PACKAGE)
	$(PYTHON) -m venv $(PACKAGE)/.venv
	@echo "Installing the wheel, Keras, JAX and Pillow ..."
	$(PACKAGE)/.venv/bin/python $(INSTALL) "$$(echo dist/*.whl)[jax]" pytest pillow
	for folder in tests recipes studies docs; do diff -r -x __pycache__ -x _build $$folder $(PACKAGE)/$$folder; done
	diff -r -x __pycache__ keras_gimlp $(PACKAGE)/.venv/lib/python*/site-packages/keras_gimlp
	cd $(PACKAGE); env -u PYTHONPATH KERAS_BACKEND=jax .venv/bin/python -m pytest $(ARGS) \
	    tests/test_package.py tests/weights/test_loading.py \
	    -k "not (tab_completion or type_checkers or docstring_with or every_argument or exported_weights)"

# The pages import the recipes too. What one compiles with JAX, the next ones have.
docs: export KERAS_BACKEND = jax
docs: export TF_CPP_MIN_LOG_LEVEL = 3
docs: export PYTHONPATH = $(CURDIR)
docs: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/docs/_build/jax
docs: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
docs: export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES = -1
docs: .venv-docs/installed
	rm -rf docs/_build
	PATH=$(CURDIR)/.venv-docs/bin:$$PATH python -m sphinx --fail-on-warning --keep-going --nitpicky $(ARGS) docs docs/_build/html
	.venv-docs/bin/python docs/check_links.py docs/_build/html

lint: .venv-test/installed
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .

format: .venv-test/installed
	.venv-test/bin/ruff check --fix .
	.venv-test/bin/ruff format .

clean:
	rm -rf .venv .venv-test .venv-benchmark .venv-package .venv-docs dist docs/_build

.venv/installed-%: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing Keras, TensorFlow (for its data pipelines) and $* ..."
	.venv/bin/python $(INSTALL) --editable ".[recipes,$*]"
	touch $@

.venv-test/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	@echo "Installing Keras with all three backends, the recipes and the tests ..."
	.venv-test/bin/python $(INSTALL) --editable ".[tensorflow,jax,torch,language,export,test,lint]"
	touch $@

.venv-package/installed: constraints.txt
	$(PYTHON) -m venv .venv-package
	.venv-package/bin/python $(INSTALL) build twine
	touch $@

.venv-docs/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-docs
	@echo "Installing Sphinx, and what the pages run: Keras with all three backends and the recipes ..."
	.venv-docs/bin/python $(INSTALL) --no-compile --editable ".[jax,torch,docs]"
	touch $@

.venv-benchmark/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-benchmark
	@echo "Installing Keras with all three backends, and the libraries to compare with ..."
	@# timm needs torchvision, whose wheels on PyPI need PyPI's build of PyTorch: === takes no other.
	torch=$$(sed -n 's/^torch==/torch===/p' constraints.txt); \
	.venv-benchmark/bin/python $(INSTALL) --editable ".[tensorflow,jax,torch,benchmark]" "$$torch"
	touch $@
