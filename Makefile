# Everything a person or CI does here. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# after a failure, which by itself does not always say that it was for this
TELL_ROOM = df -Pk . "$${TMPDIR:-/tmp}" | awk 'NR > 1 && $$4 < 2500000 && !told++ \
	{ print "no space: " $$6 " has " int($$4 / 1024) " MB left, and an installation takes 2500 MB: make room, or set TMPDIR" }'

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench bench-families defaults chaos pictures gpu-check compose-secrets compose-check clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## make .venv with everything that the service needs

demo: $(VENV)/.installed  ## everything on this machine: one study from start to end
	@$(BIN)/tuner demo examples/digits.yaml

test: $(VENV)/.installed-test  ## all tests
	@$(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile --durations 40

check: $(VENV)/.installed-test  ## format, lint, types, import contracts, migrations against tables
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/integration/store/test_migrations.py

format: $(VENV)/.installed-test  ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

gpu-check: $(VENV)/.installed-test  ## the tests that need a GPU, and on which card they ran
	@$(BIN)/python -c "import torch; print('card:', torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'none: every test below is skipped')"
	@$(BIN)/pytest -m gpu -rs tests/gpu

bench: $(VENV)/.installed-bench  ## the table of speed, beside its peers
	@$(BIN)/python -m benchmarks.run

defaults: $(VENV)/.installed-test  ## tuned against the trainers' defaults on scikit-learn's five sets
	@$(BIN)/python -m benchmarks.defaults

bench-families: $(VENV)/.installed-bench $(VENV)/.installed-test  ## each family's tuned champion beside another library's usual answer, on the same test rows
	@$(BIN)/python -m benchmarks.families.run --write

chaos: $(VENV)/.installed-test  ## 300 trials under more than a hundred faults, and what they cost; takes about fifteen minutes
	@$(BIN)/python -m tests.chaos.run --seed 7

pictures: $(VENV)/.installed-test  ## the README's pictures anew, from a real study; needs Chromium
	@$(BIN)/python docs/pictures/make.py

compose-secrets: secrets/tuner_worker_key  ## random keys and a database password for docker-compose.yml, in secrets/

secrets/tuner_worker_key:
	@mkdir -p -m 700 secrets  # closed as a folder; the files are readable, since containers read them as another user
	@$(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(32), end="")' > secrets/database_password
	@printf 'postgresql://tuner:%s@postgres/tuner' "$$(cat secrets/database_password)" > secrets/tuner_database_url
	@$(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(32), end="")' > secrets/tuner_admin_key
	@$(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(32), end="")' > $@

compose-check: compose-secrets  ## whether Docker Compose understands docker-compose.yml; starts nothing
	@if docker compose version > /dev/null 2>&1; then docker compose config --quiet; else docker-compose config --quiet; fi
	@echo "docker-compose.yml is understood."

clean:  ## remove .venv and caches; the data in .tuner stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "tuner needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): make demo PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null \
		|| { echo "$(PYTHON) has no venv module: install it (Debian: apt install python3-venv)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { $(TELL_ROOM); rm -rf $(VENV); exit 1; }
	@echo "Installing into $(VENV) what pyproject.toml names, in the versions of constraints.txt: about 120 packages from the"
	@echo "package index that pip uses. To download: about 350 MB, and PyTorch: 200 MB for the CPU build, or about 3 GB with CUDA."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . \
		|| { $(TELL_ROOM); exit 1; }
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what tests and checks need: about 160 MB more."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]' \
		|| { $(TELL_ROOM); exit 1; }
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	@echo "Installing Ray, which is measured beside us: about 70 MB more."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]' \
		|| { $(TELL_ROOM); exit 1; }
	@touch $@
