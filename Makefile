# Pulseproof. `make demo` shows the whole path, `make test` proves it; both set themselves up.
#
#   make bench STUDY=studies/ptb-xl.toml DATA=recordings    one study, from recordings to the table
#   make data DATA=recordings DATABASES="ptb-xl mitdb"      fetch recordings from PhysioNet

STUDY ?= studies/demo.toml
DATA ?=
BUILD ?= build
DATABASES ?= ptb-xl mitdb
ADDRESS ?=
PIP_FLAGS ?=
DOCS_STUDIES ?= studies/ptb-xl.toml studies/mit-bih.toml
VENV ?= .venv

# The first Python that fits; a shim that only says "not installed" does not count.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && echo $$p && break; done)

RUN := $(VENV)/bin/python -m
OPTIONS = --study $(STUDY) --build $(BUILD) $(if $(DATA),--data $(DATA))

.PHONY: help setup demo data train export attack bundle bench report table docs test check clean

help:
	@sed -n 's/^#   //p' Makefile
	@echo "targets: setup demo data train export attack bundle bench report table docs test check clean"

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Pulseproof needs Python 3.11, 3.12 or 3.13 with venv; make setup PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --no-deps -e .
	@touch $@

demo: setup
	$(RUN) bench run --study studies/demo.toml --build $(BUILD)
	$(RUN) bench report --study studies/demo.toml --build $(BUILD)

data: setup
	@test -n "$(DATA)" || { echo "say where to put them: make data DATA=recordings"; exit 2; }
	$(RUN) ecg download $(DATABASES) --to $(DATA) $(if $(ADDRESS),--address $(ADDRESS))

train: setup
	$(RUN) models train $(OPTIONS)

export: setup
	$(RUN) export $(OPTIONS)

attack: setup
	$(RUN) attacks $(OPTIONS)

bundle: setup
	$(RUN) bench bundle $(OPTIONS)

bench: setup
	$(RUN) bench run $(OPTIONS)

table: setup
	$(RUN) bench table --study $(STUDY) --build $(BUILD)

report: setup
	$(RUN) bench report --study $(STUDY) --build $(BUILD)

# The tables of the README, from the results of studies that were run: make docs BUILD=build
docs: setup
	$(RUN) bench docs $(DOCS_STUDIES) --build $(BUILD)

test: setup
	PULSEPROOF_DATA="$(if $(DATA),$(abspath $(DATA)))" $(RUN) pytest

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(RUN) mypy
	PULSEPROOF_DATA="$(if $(DATA),$(abspath $(DATA)))" $(RUN) pytest -m "not slow"

clean:
	rm -rf $(BUILD)
