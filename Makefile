# make demo       sets everything up and runs the main job through a real Airflow
# make quick      sets everything up and runs the unit tests: no browser, no database, under a minute
# make test       sets everything up and runs the tests, without those marked "long"
# make test-all   runs all tests with every Airflow that is supported

# The newest that is installed: measuring coverage takes a quarter of the time of tests before Python 3.12.
PYTHON ?= $(shell tools/find_python.sh 3.13 3.12 2>/dev/null)
VENV ?= .venv
AIRFLOW_VERSION ?= 3.3.2
INSTALL_OPTIONS ?=
EXTRA ?= dev
# Twice as many as there are cores, since tests wait a lot.
WORKERS ?= $(shell expr $$(nproc) \* 2)
PYTEST = AIRFLOW_VERSION='$(AIRFLOW_VERSION)' $(VENV)/bin/python -m pytest -o cache_dir=$(VENV)/.pytest_cache
PARALLEL = --numprocesses=$(WORKERS) --maxprocesses=4
# A module stays in one process (tests/conftest.py), and the longest modules come first.
BY_MODULE = --dist=loadfile --no-loadscope-reorder
# Measured once, with the newest Airflow, and printed in the last lines.
COVERAGE = $(if $(filter .venv,$(VENV)),--cov --cov-report=)
# Some forty tests, of a million rows, of random files, or with a second running Airflow: they take a quarter of the time of all.
WITHOUT_LONG ?= -m 'not long'

# Older Airflows break with packages newer than themselves. The Pythons are spread over those that each runs on.
OLDER = 2.11.2 3.0.6 3.1.8 3.2.2
PYTHON_2.11.2 = 3.10
PYTHON_3.0.6 = 3.12
PYTHON_3.1.8 = 3.13
PYTHON_3.2.2 = 3.11
AS_OF_2.11.2 = 2026-03-20
AS_OF_3.0.6 = 2025-09-05
AS_OF_3.1.8 = 2026-03-20
AS_OF_3.2.2 = 2026-06-05
LOWEST = 2.11.0
AS_OF_LOWEST = 2025-07-02

.PHONY: demo quick test test-all test-newest test-lowest test-prerelease cluster-test check docs wheel bench cluster-bench tables pictures hooks clean
.PHONY: chromium postgresql redis
.DELETE_ON_ERROR:
# Some hundred processes import Airflow: nobody should compile it anew each time.
unexport PYTHONDONTWRITEBYTECODE

demo: $(VENV)/.ready
	$(VENV)/bin/queuecalls demo

quick: $(VENV)/.ready
	$(PYTEST) tests/unit --numprocesses=$$(nproc) --maxprocesses=4 --dist=worksteal $(WITHOUT_LONG) $(ARGS)

# The pages are tested in a real browser, and the scheduler works on a real database. With ARGS, what they choose is
# tested in one process.
test: $(VENV)/.ready postgresql chromium
	$(PYTEST) $(or $(ARGS),$(PARALLEL) $(BY_MODULE) $(COVERAGE) $(WITHOUT_LONG))

# Two at a time, of two processes each, since tests wait a lot; what each prints comes in one piece.
test-all: $(VENV)/.ready postgresql chromium
	$(MAKE) --jobs=2 --output-sync=target --keep-going WORKERS=2 WITHOUT_LONG= test-newest $(OLDER:%=test-%) test-lowest test-prerelease

# The longest, so it begins first: its prerequisites are there.
test-newest:
	$(MAKE) test

# What needs no Airflow (tests/unit/test_layout.py holds that it doesn't) is tested with the newest and the lowest.
BELOW_AIRFLOW = tests/unit/client tests/unit/files tests/unit/contacts tests/unit/records tests/integration/client tests/integration/sandbox
AIRFLOW_FLOOR = tests/integration tests/unit $(BELOW_AIRFLOW:%=--ignore=%) $(PARALLEL) $(BY_MODULE)

$(OLDER:%=test-%): test-%:
	$(MAKE) test VENV=.venvs/$* EXTRA=test AIRFLOW_VERSION=$* PYTHON="$$(tools/find_python.sh $(PYTHON_$*))" \
		INSTALL_OPTIONS='--exclude-newer $(AS_OF_$*)' ARGS='$(or $(ARGS),tests/e2e $(AIRFLOW_FLOOR))'

# The oldest of everything that pyproject.toml allows a user to have; the tests' own packages are not among it.
test-lowest: .venvs/lowest.txt
	$(MAKE) test VENV=.venvs/lowest EXTRA=test AIRFLOW_VERSION=$(LOWEST) PYTHON="$$(tools/find_python.sh 3.10)" \
		INSTALL_OPTIONS='--exclude-newer $(AS_OF_LOWEST) --constraints $<'

# What is to come; it says what will break, and breaks nothing yet. Pages and processes change until the release.
test-prerelease:
	-$(MAKE) test VENV=.venvs/prerelease EXTRA=test AIRFLOW_VERSION='3.4.*' PYTHON="$$(tools/find_python.sh 3.13)" \
		ARGS='$(or $(ARGS),$(AIRFLOW_FLOOR))'

# The newest Airflow with Celery, on as many machines as this one can pretend to be.
cluster-test: $(VENV)/.cluster postgresql redis
	AIRFLOW_VERSION=$(AIRFLOW_VERSION) $(VENV)/bin/python -m pytest tests/cluster $(ARGS)

check: $(VENV)/.ready
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/python tools/tables.py --check

# Everything anew, since a page that has not changed would keep its warnings to itself. Nothing is fetched.
docs: $(VENV)/.docs
	$(VENV)/bin/sphinx-build -q -E -W -n --keep-going docs build/docs
	@echo 'build/docs/index.html'

wheel: $(VENV)/.ready
	$(VENV)/bin/python tools/check_wheel.py --airflow-version $(AIRFLOW_VERSION)

bench: $(VENV)/.ready postgresql
	$(VENV)/bin/uv pip install -q --python $(VENV)/bin/python -e '.[bench]' 'apache-airflow==$(AIRFLOW_VERSION)'
	$(VENV)/bin/python benchmarks/upload.py
	$(VENV)/bin/python benchmarks/check.py
	$(VENV)/bin/python -m benchmarks.rows
	$(VENV)/bin/python -m benchmarks.suppression
	$(VENV)/bin/python -m benchmarks.calling_hours
	$(VENV)/bin/python -m benchmarks.storage
	$(VENV)/bin/python benchmarks/import_cost.py
	$(VENV)/bin/python -m benchmarks.task
	$(VENV)/bin/python -m benchmarks.results

cluster-bench: $(VENV)/.cluster postgresql redis
	$(VENV)/bin/python -m benchmarks.cluster

tables: $(VENV)/.ready
	$(VENV)/bin/python tools/tables.py

pictures: $(VENV)/.ready chromium
	$(VENV)/bin/python tools/pictures.py

hooks: $(VENV)/.ready
	$(VENV)/bin/pre-commit install

# What drives it needs libatomic, which a small Debian doesn't have.
chromium:
	@{ command -v chromium || command -v google-chrome; } >/dev/null && find /usr/lib* -name libatomic.so.1 | grep -q . \
		|| tools/install_debian.sh chromium libatomic1

postgresql:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || tools/install_debian.sh postgresql

redis:
	@command -v redis-server >/dev/null || tools/install_debian.sh redis-server

clean:
	rm -rf $(VENV) .venvs build dist

# uv resolves Airflow's dependencies in seconds. It gets the interpreter's path, or it would look for one to download.
$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo 'Python 3.10 or newer is needed: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/install_debian.sh python3-venv
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q uv
	$(VENV)/bin/uv pip install -q --python $(VENV)/bin/python $(INSTALL_OPTIONS) -e '.[$(EXTRA)]' 'apache-airflow==$(AIRFLOW_VERSION)'
	@touch $@

.venvs/lowest.txt: pyproject.toml $(VENV)/.ready
	@mkdir -p $(@D)
	echo 'apache-airflow==$(LOWEST)' | $(VENV)/bin/uv pip compile -q --no-header --no-annotate --no-deps --resolution lowest-direct \
		--python-version 3.10 --exclude-newer $(AS_OF_LOWEST) --extra sandbox --extra sql --extra openlineage --constraints - pyproject.toml -o $@

$(VENV)/.docs: $(VENV)/.ready
	$(VENV)/bin/uv pip install -q --python $(VENV)/bin/python -e '.[docs]' 'apache-airflow==$(AIRFLOW_VERSION)'
	@touch $@

$(VENV)/.cluster: $(VENV)/.ready
	$(VENV)/bin/uv pip install -q --python $(VENV)/bin/python -e '.[dev,cluster]' 'apache-airflow==$(AIRFLOW_VERSION)'
	@touch $@
