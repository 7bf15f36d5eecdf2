# `make demo`: hear a recording turned into words. `make test`: check everything. Both need Python 3.11 to 3.13 and pip alone.
# Another interpreter: make demo PYTHON=python3.12. Arguments for pytest: make test ARGS="tests/features -x".
# Tests run in two processes: make test WORKERS=4 takes four, WORKERS=0 none but its own (for a debugger).

PYTHON ?= python3
ARGS ?=
WORKERS ?= 2

DEMO := .venv
TEST := .venv-test
PACKAGES := features encoders inference training asr gestures recipes
PIP := -m pip install --quiet --disable-pip-version-check
# Debian packages that some tests call: synthesisers, for synthetic speech; PortAudio, and what makes a microphone of a
# recording, for listening; what MediaPipe loads, for landmarks; a screen and keys for the windows.
PROGRAMS := flite espeak-ng festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts libportaudio2 pulseaudio libasound2-plugins libegl1 libgles2 libgl1 libglib2.0-0 xvfb xauth xdotool

# An environment is made anew for another Python; Saywave is installed anew when a file has changed, come or gone.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
FILES := $(shell find $(PACKAGES) -type f ! -name '*.pyc' | LC_ALL=C sort)
INSTALLED := .installed-$(VERSION)-$(shell echo $(FILES) | cksum | cut -d ' ' -f 1)

.PHONY: help demo test test-all programs clean
.DELETE_ON_ERROR:

help:
	@echo "make demo      a recording and a hand that come with Saywave, recognised (light install into $(DEMO), no PyTorch)"
	@echo "make test      style, import rules and the quick tests (full install into $(TEST), several GB)"
	@echo "make test-all  the same with the slow tests"
	@echo "make clean     remove both environments"

demo: $(DEMO)/$(INSTALLED)
	@$(DEMO)/bin/python -P -m asr.demo
	@echo
	@$(DEMO)/bin/python -P -m gestures.demo

test: CHOICE := -m "not slow"
test test-all: $(TEST)/$(INSTALLED) programs
	@echo "Checking the style ..."
	@$(TEST)/bin/python -m ruff check --quiet .
	@$(TEST)/bin/python -m ruff format --quiet --check .
	@echo "Running the tests against the installed package ..."
	@$(TEST)/bin/python -P -m pytest -q --numprocesses $(WORKERS) --dist loadfile $(CHOICE) $(ARGS)

$(DEMO)/$(INSTALLED): $(DEMO)/.python-$(VERSION) $(FILES) pyproject.toml README.md LICENSE
	@echo "Installing Saywave and what it runs on into $(DEMO) (NumPy and ONNX Runtime, no PyTorch) ..."
	@rm -rf build $(DEMO)/.installed-*
	@$(DEMO)/bin/python $(PIP) .
	@rm -rf build
	@touch $@

$(TEST)/$(INSTALLED): $(TEST)/.python-$(VERSION) $(FILES) pyproject.toml README.md LICENSE
	@echo "Installing Saywave with all that tests need into $(TEST) (PyTorch among it: the first time, several GB and some minutes) ..."
	@rm -rf build $(TEST)/.installed-*
	@$(TEST)/bin/python $(PIP) '.[test]'
	@rm -rf build
	@touch $@

# Debian packs `ensurepip` apart; where it is missing, the interpreter's own pip puts one into the environment.
%/.python-$(VERSION):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11, 3.12 or 3.13, or name one: make demo PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "$(PYTHON) is Python $(VERSION), and Saywave needs 3.11, 3.12 or 3.13; name one: make demo PYTHON=python3.12" >&2; exit 1; }
	@echo "Making an environment for Python $(VERSION) in $* ..."
	@if ls $*/.python-* >/dev/null 2>&1; then rm -rf $*; fi
	@$(PYTHON) -m venv $* >/dev/null 2>&1 \
	  || { $(PYTHON) -m venv --without-pip $* && $(PYTHON) -m pip --python $*/bin/python install --quiet --disable-pip-version-check pip; } >/dev/null 2>&1 \
	  || { echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

# A program may be there without its package. `--no-remove`: a desktop's own sound server stays.
programs:
	@missing=; for package in $(PROGRAMS); do \
	  command -v $$package >/dev/null || dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q ' installed$$' || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing$$missing with apt-get ..."; \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends --no-remove $$missing; } >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "Not installed:$$missing. Tests that need them are skipped; on Debian and Ubuntu: apt-get install$$missing"

clean:
	rm -rf $(DEMO) $(TEST) build
