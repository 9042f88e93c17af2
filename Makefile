# Everything runs inside .venv; a second call of any target installs nothing, until pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tested versions; `make CONSTRAINTS=lowest.txt` takes the lowest declared ones, `make CONSTRAINTS=` the newest.
CONSTRAINTS ?= constraints.txt
PIP := $(BIN)/python -m pip install --quiet --prefer-binary --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
INSTALLED := $(VENV)/.installed
SAMPLES := invkit/datasets/samples
KERNEL_SIZE ?= 31
PYTEST_ARGS ?= --numprocesses=auto

.DEFAULT_GOAL := help
.PHONY: help install install-test deblur test check docs clean
.SECONDARY:

# pip writes what says that a package is there before the package itself. An interrupted installation therefore looks
# finished to it, and the environment is made anew.
UNFINISHED := $(VENV)/.unfinished
ifneq ($(wildcard $(UNFINISHED)),)
$(info the last installation into $(VENV) was interrupted; it is made anew)
$(shell rm -rf $(VENV))
endif
into_venv = @touch $(UNFINISHED) && $(PIP) $(1) && rm $(UNFINISHED) && touch $@

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv and install invkit into it

deblur: $(INSTALLED) ## Install, then restore the bundled photograph into deblurred/
	$(BIN)/invkit deblur $(SAMPLES)/coffee_blurry.png --truth $(SAMPLES)/coffee_sharp.png \
		--kernel-size $(KERNEL_SIZE) --output deblurred --overwrite

install-test: $(VENV)/.extra-test

test: $(VENV)/.extra-test ## Install the test extra and run the whole suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.extra-lint ## Lint, formatting, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

docs: $(VENV)/.extra-docs ## Build the documentation, changed scripts of its gallery run, into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean: ## Remove .venv and what was built
	rm -rf $(VENV) docs/_build docs/generated build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing invkit and its dependencies into $(VENV) (minutes, the first time)"
	$(call into_venv,-e .)

$(VENV)/.extra-%: $(INSTALLED)
	$(call into_venv,-e ".[$*]")
