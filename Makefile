# Pulseproof. `make demo` shows the whole path, `make test` proves it; both set themselves up.
#
#   make bench STUDY=studies/ptb-xl.toml DATA=recordings    one study, from recordings to the table
#   make bench STUDY=studies/ptb-xl.toml DATA=recordings DEVICE=pi@raspberrypi.local   the same on a device
#   make export MODEL=mine.onnx STUDY=studies/ptb-xl.toml DATA=recordings    every file of a trained model you bring
#   make data DATA=recordings DATABASES="ptb-xl mitdb"      fetch recordings from PhysioNet

STUDY ?= studies/demo.toml
DATA ?=
BUILD ?= build
DATABASES ?= ptb-xl mitdb
ADDRESS ?=
MODEL ?=
NAME ?=
WEIGHTS ?=
WORKERS ?=
SCHEDULER ?=
DEVICE ?=
DEVICES ?=
RESULTS ?=
COMPARE ?=
PIP_FLAGS ?=
DOCS_STUDIES ?= studies/ptb-xl.toml studies/ptb-xl-lead-i.toml studies/mit-bih.toml
VENV ?= .venv

# The first Python that fits; a shim that only says "not installed" does not count.
FITS := import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c '$(FITS)' >/dev/null 2>&1 && echo $$p && break; done)

RUN := $(VENV)/bin/python -m
PULSEPROOF := $(VENV)/bin/pulseproof
# A file of tests stays on one process: its fixtures are dear. tests/conftest.py has them in their order, longest first.
# One thread each, or they wait for each other.
PYTEST = OMP_NUM_THREADS=1 $(RUN) pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
OPTIONS = --study $(STUDY) --build $(BUILD) $(if $(DATA),--data $(DATA))
# Where signal sets are made: WORKERS=2 processes here, or the workers of a Dask scheduler, SCHEDULER=tcp://host:8786
GRID = $(if $(WORKERS),--workers $(WORKERS)) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

.PHONY: help setup demo data train export attack audit certify bundle take bench folds report table docs notebook dependencies site picture perf test check clean

help:
	@sed -n 's/^#   //p' Makefile
	@echo "targets: setup demo data train export attack audit certify bundle take bench folds report table docs notebook dependencies site picture perf test check clean"

setup: $(VENV)/.ready $(VENV)/.tflite-runtime-ready

PIP := $(VENV)/bin/python -m pip --quiet --disable-pip-version-check

# Every file is held against its SHA-256, wheels only: nobody's setup.py runs here but our own.
$(VENV)/.ready: requirements.lock requirements-torch-cpu.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Pulseproof needs Python 3.11, 3.12 or 3.13 with venv; make setup PYTHON=..."; exit 2; }
	@$(PYTHON) -c '$(FITS)' 2>/dev/null || { echo "$(PYTHON) is no Python 3.11, 3.12 or 3.13 with venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@$(PIP) install $(PIP_FLAGS) --require-hashes --no-deps -r requirements-torch-cpu.lock >/dev/null 2>&1 || \
		echo "PyTorch's build without CUDA is not to be had here: the index's own is taken, some gigabytes"
	$(PIP) install $(PIP_FLAGS) --require-hashes -r requirements.lock
	$(PIP) install $(PIP_FLAGS) --no-deps --no-build-isolation -e .
	@touch $@

# A second environment: tflite-runtime needs numpy 1, the converters numpy 2. It has wheels for Python 3.9 to 3.11 on
# Linux; without it everything else works, and PULSEPROOF_TFLITE_RUNTIME=another/bin/python lends one that has it.
TFLITE_RUNTIME := $(VENV)/tflite-runtime
HAS_WHEEL := import platform, sys; sys.exit(not (sys.platform == "linux" and sys.version_info < (3, 12) and \
	platform.machine() in ("x86_64", "aarch64")))

$(VENV)/.tflite-runtime-ready: $(VENV)/.ready requirements-tflite-runtime.lock
	@rm -rf $(TFLITE_RUNTIME)
	@if $(VENV)/bin/python -c '$(HAS_WHEEL)'; then \
		$(VENV)/bin/python -m venv --without-pip $(TFLITE_RUNTIME) && \
		$(VENV)/bin/python -m pip --python $(TFLITE_RUNTIME)/bin/python install --quiet --disable-pip-version-check \
			$(PIP_FLAGS) --require-hashes -r requirements-tflite-runtime.lock || \
		{ rm -rf $(TFLITE_RUNTIME); \
		echo "tflite-runtime could not be installed: files are not compared on it; rm $@ and make setup tries again"; }; \
	else \
		echo "tflite-runtime has no wheel for this Python or processor: files are not compared on it"; \
	fi
	@touch $@

demo: setup
	$(PULSEPROOF) demo --build $(BUILD)

data: setup
	@test -n "$(DATA)" || { echo "say where to put them: make data DATA=recordings"; exit 2; }
	$(PULSEPROOF) data $(DATABASES) --to $(DATA) $(if $(ADDRESS),--address $(ADDRESS))

train: setup
	$(PULSEPROOF) train $(OPTIONS)

export: setup
	$(PULSEPROOF) export $(OPTIONS) $(if $(MODEL),--model $(MODEL)) $(if $(NAME),--name $(NAME)) $(if $(WEIGHTS),--weights $(WEIGHTS))

attack: setup
	$(PULSEPROOF) attack $(OPTIONS) $(GRID)

# Whether the attacks are worth believing: flags, each with a sentence; the table and the report then show them
audit: setup
	$(PULSEPROOF) audit $(OPTIONS)

# What no disturbance can do to the files, whatever attacks there are; the table and the report then show it
certify: setup
	$(PULSEPROOF) certify $(OPTIONS)

# Also as one file, build/<study>/<study>-bundle.pyz, to carry to a device by hand; make take brings its results.zip in
bundle: setup
	$(PULSEPROOF) bundle $(OPTIONS) $(GRID)

take: setup
	@test -n "$(RESULTS)" || { echo "say what was carried home: make take STUDY=... RESULTS=results.zip"; exit 2; }
	$(PULSEPROOF) take $(RESULTS) --study $(STUDY) --build $(BUILD)

# On this machine; or DEVICE=pi@host, DEVICE=emulated:cortex-a72, several with blanks between; or DEVICES=devices.toml
bench: setup
	$(PULSEPROOF) bench $(OPTIONS) $(GRID) $(DEVICE:%=--device %) $(if $(DEVICES),--devices $(DEVICES))

# A study with split = {folds = 5}: every fold from recordings to its report, then the answers over all of them
folds: setup
	$(PULSEPROOF) folds $(OPTIONS) $(if $(WORKERS),--workers $(WORKERS))

table: setup
	$(PULSEPROOF) table --study $(STUDY) --build $(BUILD)

# COMPARE="build/demo/results/host build/demo/results/pi4" lays two runs of one study side by side
report: setup
	$(PULSEPROOF) report --study $(STUDY) --build $(BUILD) $(foreach folder,$(COMPARE),--compare $(folder))

# The tables of README.md and of the pages of results in docs/, from studies that were exported or run: make docs BUILD=build
docs: setup
	$(PULSEPROOF) docs $(DOCS_STUDIES) --build $(BUILD)

# The docs as a site, build/site/index.html: every link checked, nothing from a network; PUBLIC=public keeps each version there
site: setup
	$(RUN) mkdocs build --strict --quiet --site-dir $(abspath $(BUILD))/site
	$(if $(PUBLIC),$(VENV)/bin/python docs/site/publish.py $(BUILD)/site $(PUBLIC))

# The notebook of the docs, executed: its outputs are kept in it. With DATA=recordings on real ones
notebook: setup
	PULSEPROOF_DATA="$(if $(DATA),$(abspath $(DATA)))" $(VENV)/bin/python docs/site/execute.py docs/notebook.ipynb

# The table of licences and the bill of materials, docs/dependencies.md, from the lock files and what is installed by them
dependencies: setup
	$(VENV)/bin/python docs/site/dependencies.py

# The picture of the demo's report in README.md, by Chromium: after make demo
picture: setup
	$(VENV)/bin/python docs/site/picture.py $(BUILD)/demo/report/index.html docs/results/demo-report.png

# The latency and size ratios that are claimed, artifacts alternating in one run, on a study that was run; then the runner
# beside the field's load generators, the bootstrap beside a loop over scikit-learn, and our attacks beside ART's, foolbox's
# and a plain loop
perf: setup
	@held=0; $(PULSEPROOF) perf claims --study $(STUDY) --build $(BUILD) || held=$$?; \
		$(PULSEPROOF) perf runner --study $(STUDY) --build $(BUILD) || held=$$?; \
		$(PULSEPROOF) perf statistics || held=$$?; \
		$(PULSEPROOF) perf weights $(OPTIONS) || held=$$?; \
		$(PULSEPROOF) perf trees $(OPTIONS) || held=$$?; \
		$(PULSEPROOF) perf attacks $(OPTIONS) || held=$$?; exit $$held

# Where Python is told to write no bytecode, each of the hundreds of processes of the tests would compile all rooms again.
test: setup
	@$(RUN) compileall -q pulseproof $(wildcard pulseproof/*/)
	PULSEPROOF_DATA="$(if $(DATA),$(abspath $(DATA)))" $(PYTEST)

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(RUN) mypy
	@$(RUN) compileall -q pulseproof $(wildcard pulseproof/*/)
	PULSEPROOF_DATA="$(if $(DATA),$(abspath $(DATA)))" $(PYTEST) -m "not slow"

clean:
	rm -rf $(BUILD)
