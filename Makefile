# make demo   sets everything up and runs the main job through a real Airflow
# make test   sets everything up and runs the tests

PYTHON ?= python3
VENV ?= .venv
AIRFLOW_VERSION ?= 3.3.2

.PHONY: demo test check wheel bench tables hooks clean
.DELETE_ON_ERROR:

demo: $(VENV)/.ready
	$(VENV)/bin/queuecalls demo

# The pages are tested in a real browser, and the scheduler works on a real database.
test: $(VENV)/.ready
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || tools/install_debian.sh chromium
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || tools/install_debian.sh postgresql
	AIRFLOW_VERSION=$(AIRFLOW_VERSION) $(VENV)/bin/python -m pytest $(ARGS)

check: $(VENV)/.ready
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/python tools/readme_tables.py --check

wheel: $(VENV)/.ready
	$(VENV)/bin/python tools/check_wheel.py --airflow-version $(AIRFLOW_VERSION)

bench: $(VENV)/.ready
	$(VENV)/bin/uv pip install -q --python $(VENV)/bin/python -e '.[bench]' 'apache-airflow==$(AIRFLOW_VERSION)'
	$(VENV)/bin/python benchmarks/upload.py
	$(VENV)/bin/python benchmarks/check.py
	$(VENV)/bin/python benchmarks/import_cost.py

tables: $(VENV)/.ready
	$(VENV)/bin/python tools/readme_tables.py

hooks: $(VENV)/.ready
	$(VENV)/bin/pre-commit install

clean:
	rm -rf $(VENV) dist

# uv resolves Airflow's dependencies in seconds. It gets the interpreter's path, or it would look for one to download.
$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo 'Python 3.10 or newer is needed: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/install_debian.sh python3-venv
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q uv
	$(VENV)/bin/uv pip install -q --python $(VENV)/bin/python -e '.[dev]' 'apache-airflow==$(AIRFLOW_VERSION)'
	@touch $@
