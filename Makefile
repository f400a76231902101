# `make` lists the verbs. `make check test` is what CI runs (.ci/run).

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-print-directory --no-builtin-rules

PYTHON ?=#       the interpreter to build .venv with (3.11 or newer); found by itself when empty
JOBS   ?= 2#     test processes
ROWS   ?= 1000000#   runs in the benchmark's file
HOURS  ?= 1#     of make soak, both readers together; MINUTES=30 instead
MINUTES ?=
TESTS  ?=#       arguments to pytest, such as TESTS="tests/core -k overlap"
UV     ?= uv
PREFIX ?= /opt/opsd#   where make install puts it
DAYS   ?= 30#    of history in make stack; 0 for none
PREVIEW ?=#      folder of grafana-preview, for make screens
BOARDS ?=#       the dashboards that make screens draws, such as BOARDS="waste job"; all when empty
FOR    ?= server#  what make install installs: server or node

BIN   := .venv/bin
STAMP := .venv/installed
CODE  := opsd collectors exporters dashboards alembic tests

.PHONY: help setup demo stack screens dashboards words test check format golden bench scale soak dist install lock clean

help:  ## list these verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP)  ## build .venv from the lock, with opsd in it (seconds when nothing changed)

demo: setup  ## a simulated AI factory that lives in demo/ until Ctrl-C: portal, daemon, four GPU nodes
	@$(BIN)/opsd demo --dir demo

stack: setup  ## the demo under a real Prometheus, with 30 DAYS of history, and Alertmanager: see alerts fire
	@tests/needs.sh
	$(BIN)/python tests/stack/run.py --dir demo --history-days $(DAYS)

screens: setup  ## draw and judge every dashboard of the stack: PREVIEW=FOLDER of grafana-preview, BOARDS="waste job"
	@$(BIN)/python tests/stack/screens.py $(if $(PREVIEW),--preview "$(PREVIEW)") --boards "$(BOARDS)"

test: setup  ## run the tests; PostgreSQL's start a private server
	@tests/needs.sh
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(TESTS)

check: setup  ## lint, format, types, who may import whom
	@$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup  ## rewrite the sources in the one format
	@$(BIN)/ruff check --fix --quiet $(CODE) || true
	$(BIN)/ruff format $(CODE)

dashboards: setup  ## rewrite dashboards/generated; then read the diff
	@$(BIN)/opsd dashboards build --to dashboards/generated
	git status --short dashboards/generated

words: setup  ## bring the catalogues of reports up to the words in the code; says what is left to translate
	@$(BIN)/python -m tests.reports.catalogues

golden: setup  ## rewrite the expected outputs; then read the diff
	@OPSD_GOLDEN=1 $(BIN)/pytest -m golden
	git status --short tests

bench: setup  ## import and usage against slurm2sql, 90 days read again, the agent's page against nvitop-exporter
	@$(BIN)/python tests/benchmarks/import_rate.py --rows $(ROWS)
	$(BIN)/python -m tests.benchmarks.sweep
	$(BIN)/python tests/benchmarks/scrape.py

scale: setup  ## a daemon's cycle, its page and every dashboard's queries at 1,200 nodes and 4,800 GPUs (minutes)
	@$(BIN)/python -m tests.benchmarks.scale

soak: setup  ## fuzz the readers for HOURS (or MINUTES) and keep what is new in tests/fuzz/corpus
	@$(BIN)/python -m tests.fuzz.soak $(if $(MINUTES),--minutes $(MINUTES),--hours $(HOURS)) --folder build/soak
	git status --short tests/fuzz/corpus

dist: setup  ## build the wheel in dist/
	@rm -rf dist
	$(BIN)/python -m hatchling build --target wheel

install: dist  ## into PREFIX (/opt/opsd), FOR=server or FOR=node: the wheel and its locked packages alone
	@case "$(FOR)" in server|node) ;; *) echo "make install FOR=$(FOR): write FOR=server or FOR=node" >&2; exit 2 ;; esac
	[ -x "$(PREFIX)/bin/python" ] || $(BIN)/python -m venv --copies "$(PREFIX)"
	case "$$($(BIN)/python -c 'import sys; print(sys.base_prefix)')" in /root/*|/home/*)
	    echo "WARNING: .venv's Python lies in somebody's home, which the units may not see:" \
	        "make clean setup PYTHON=/usr/bin/python3, then install again" >&2 ;;
	esac
	export PIP_DISABLE_PIP_VERSION_CHECK=1
	"$(PREFIX)/bin/python" -m pip install --quiet --require-hashes --no-deps -r constraints-$(FOR).txt
	"$(PREFIX)/bin/python" -m pip install --quiet --no-deps --force-reinstall dist/*.whl
	"$(PREFIX)/bin/opsd-node" --version
	echo "installed in $(PREFIX) for a $(FOR); docs/install.md says how to go on"

lock:  ## resolve the dependencies anew into constraints.txt (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv on the path, or UV=/path/to/uv" >&2; exit 1; }
	$(UV) pip compile pyproject.toml --quiet --all-extras --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --no-header -o constraints.txt
	part() {
	    $(UV) pip compile pyproject.toml --quiet "$${@:2}" --universal --python-version 3.11 -c constraints.txt \
	        --generate-hashes --no-emit-index-url --no-header --no-annotate -o "constraints-$$1.txt"
	}
	part node
	part server --extra server --extra postgresql --extra slurmdbd --extra dashboards --extra grafana

clean:  ## remove what make built: .venv, caches, demo/, dist/
	@rm -rf .venv demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ----------------------------------------------------------------------------------------------------------------
# .venv: exactly the locked packages, each checked against its hash, then opsd itself, editable.

$(STAMP): constraints.txt pyproject.toml
	@usable() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
	find_python() {
	    for name in $(PYTHON) $(if $(PYTHON),,python3 python3.14 python3.13 python3.12 python3.11); do
	        if usable "$$name"; then echo "$$name"; return; fi
	    done
	}
	may_install() { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
	apt_install() {
	    echo "Installing $$* ..."
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install "$$@" </dev/null >/dev/null
	}
	python=$$(find_python)
	if [ -z "$$python" ] && [ -z "$(PYTHON)" ] && may_install; then
	    apt_install python3 python3-venv || true
	    python=$$(find_python)
	fi
	if [ -z "$$python" ]; then
	    echo "opsd needs Python 3.11 or newer$(if $(PYTHON),; $(PYTHON) is not). Install one, or: make PYTHON=/path/to/python3" >&2
	    exit 1
	fi
	if [ ! -x $(BIN)/python ] || ! usable $(BIN)/python; then
	    if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then
	        package=$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
	        if may_install; then apt_install "$$package" || true; fi
	        if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then
	            echo "$$python has no ensurepip: install $$package (Debian, Ubuntu), then run make again" >&2
	            exit 1
	        fi
	    fi
	    echo "Building .venv with $$("$$python" --version) ..."
	    "$$python" -m venv --clear .venv
	fi
	export PIP_DISABLE_PIP_VERSION_CHECK=1
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)
