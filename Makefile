# The house in a few lines: `make help` lists them. Every target installs what it needs from PyPI into .venv; a
# machine needs only Python 3.10 to 3.13, gcc and make. `make test PYTHON=python3.13` takes another interpreter.

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(VERSION))
BIN := $(VENV)/bin
BIND ?= 127.0.0.1:8000
SECONDS ?= 30
TESTS ?= tests
LOAD ?= hello
RELOADS ?= 1000
ARGS ?=

C_FILES := $(wildcard csrc/*.[ch])
C_TESTS := $(wildcard tests/native/*.[ch] bench/*.[ch])
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
WARNINGS := -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror

SANITIZED := .venv-sanitize-$(VERSION)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g
LIBASAN := $(shell gcc -print-file-name=libasan.so)
LIBUBSAN := $(shell gcc -print-file-name=libubsan.so)

# A clang that can link libFuzzer, or nothing.
CLANGS := $(foreach name,clang clang-19 clang-18 clang-16 clang-14,$(shell command -v $(name)))
LINKS = $(shell echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
    $(1) -x c -fsanitize=fuzzer,address,undefined - -o /dev/null 2>/dev/null && echo $(1))
FUZZER = $(firstword $(foreach clang,$(CLANGS),$(call LINKS,$(clang))))

.DEFAULT_GOAL := help
.PHONY: help run test stress soak check check-python check-c sanitize fuzz bench bench-scrape bench-threads bench-memory instructions docs options format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

# -- environments: a stamp stands for "installed, and built from these files"

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.built: $(VENV)/.made $(C_FILES) pyproject.toml
	$(PIP) install --editable .
	touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml
	$(PIP) install --group test
	touch $@

$(VENV)/.check: $(VENV)/.made pyproject.toml
	$(PIP) install --group check
	touch $@

# -- use

run: $(VENV)/.built  ## the example application on all CPUs (BIND=, ARGS=)
	@echo "http://$(BIND)/ answers when it says ready; Ctrl-C stops it"
	@$(BIN)/forkcluster hello:application --chdir examples --instances 0 --bind $(BIND) $(ARGS)

test: $(VENV)/.built $(VENV)/.test  ## every test (TESTS=tests/unit, ARGS=-x)
	@$(BIN)/python -m compileall -q src/forkcluster  # thousands of processes start, and few may write bytecode
	$(BIN)/python -m pytest $(TESTS) $(ARGS)

stress: $(VENV)/.built $(VENV)/.test  ## the tests that `make test` leaves out: more of the same, and longer
	$(BIN)/python -m pytest tests -m stress $(ARGS)

soak: $(VENV)/.built $(VENV)/.test  ## a thousand reloads under load, then as many of which a fifth are broken (RELOADS=1000)
	FORKCLUSTER_TEST_RELOADS=$(RELOADS) $(BIN)/python -m pytest tests/process/test_handover.py \
	    tests/process/faults/test_reloads.py -k reloads_under_load $(ARGS)

# -- checks

check: check-python check-c  ## formatting, lint, types, C warnings, direction of imports

check-python: $(VENV)/.built $(VENV)/.check $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/unit/test_import_direction.py

check-c: $(VENV)/.check
	$(BIN)/clang-format --dry-run -Werror $(C_FILES) $(C_TESTS)
	@for file in $(filter %.c,$(C_FILES)); do \
	    gcc $(WARNINGS) -isystem "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
	        -c $$file -o /dev/null || exit 1; done; echo "gcc: no warnings"

# handle_segv=0: a segmentation fault ends a process by its signal, as without sanitizers; a test looks at that.
# Every process writes what its address sanitizer finds to a file, and a file is a failure whatever the tests say. What
# the other finds goes to standard error (gcc's knows no log_path beside the first) and ends the process.
sanitize: $(SANITIZED)/.built  ## tests of the extensions and processes under address and undefined-behaviour sanitizers
	@rm -f $(SANITIZED)/found.*
	LD_PRELOAD="$(LIBASAN) $(LIBUBSAN)" ASAN_OPTIONS=detect_leaks=0:handle_segv=0:log_path=$(CURDIR)/$(SANITIZED)/found \
	    UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc $(SANITIZED)/bin/python -m pytest \
	    $(if $(filter tests,$(TESTS)),$(wildcard tests/unit tests/process tests/serve),$(TESTS)) $(ARGS); \
	    code=$$?; ! cat $(SANITIZED)/found.* 2>/dev/null && exit $$code

# Not editable: the instrumented extensions live in their own environment and never meet the plain ones.
$(SANITIZED)/.built: $(C_FILES) pyproject.toml $(wildcard src/forkcluster/*.py src/forkcluster/*/*.py)
	@case "$(LIBASAN)" in */*) ;; *) echo "gcc has no libasan here: install gcc's sanitizer libraries"; exit 1;; esac
	test -x $(SANITIZED)/bin/python || $(PYTHON) -m venv $(SANITIZED)
	$(SANITIZED)/bin/python -m pip --quiet install --upgrade 'pip>=25.1'
	rm -rf build/lib* build/temp* build/bdist*
	CFLAGS="$(SANITIZE)" $(SANITIZED)/bin/python -m pip --quiet --disable-pip-version-check install \
	    --force-reinstall --no-deps .
	$(SANITIZED)/bin/python -m pip --quiet --disable-pip-version-check install . --group test
	rm -rf build/lib* build/temp* build/bdist*
	touch $@

fuzz: $(VENV)/.built  ## fuzz the C parsers (SECONDS=30, SEED=1)
	@echo "fuzzing with $(if $(FUZZER),libFuzzer of $(FUZZER),our own loop: no clang with libFuzzer here)"
	$(MAKE) -f tests/native/Makefile fuzz CLANG=$(FUZZER) SECONDS=$(SECONDS) PYTHON=$(BIN)/python

bench: $(VENV)/.built  ## compare with the servers installed beside us (PEERS=python of theirs, LOAD=hello|echo|close)
	$(BIN)/python bench/run.py --load $(LOAD) $(if $(PEERS),--peers $(PEERS)) $(ARGS)

bench-scrape: $(VENV)/.built  ## the app's latency and CPU with and without 100 scrapers of /metrics
	$(BIN)/python bench/scrape.py $(ARGS)

bench-threads: $(VENV)/.built  ## what a long call does to everybody else, against its bars (PEERS=python with gunicorn)
	$(BIN)/python bench/threads.py $(if $(PEERS),--peers $(PEERS)) $(ARGS)

bench-memory: $(VENV)/.built  ## the memory of a Django with four workers, beside others' (PEERS=python with Django and them)
	$(BIN)/python bench/memory.py $(if $(PEERS),--peers $(PEERS)) $(ARGS)

instructions: $(VENV)/.built  ## instructions per request, against bench/instructions.json (WRITE=1 writes it)
	$(BIN)/python bench/instructions.py $(if $(WRITE),,--check)

docs: $(VENV)/.built  ## check the pages: links, and that every option is in docs/options.md
	$(BIN)/python docs/write_options.py --check
	$(BIN)/python docs/write_metrics.py --check
	$(BIN)/python docs/check_links.py

options: $(VENV)/.built  ## write docs/options.md and docs/metrics.md from their tables
	$(BIN)/python docs/write_options.py
	$(BIN)/python docs/write_metrics.py

format: $(VENV)/.check  ## format C and Python
	$(BIN)/clang-format -i $(C_FILES) $(C_TESTS)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean:  ## remove what the targets made, environments too
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	find src tests bench examples -name __pycache__ -prune -exec rm -rf {} +
	rm -f src/forkcluster/*.so
