# Every target prepares the checkout first; that takes no time once it is done.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := shared/reel_shared shared/networks/reel_networks $(wildcard services/*/reel_*) cli/reelsight scripts conftest.py

# Keywords are left out: every test that sets a password would be one. Templates of addresses are none.
SECRETS := detect-secrets-hook --no-verify --disable-plugin KeywordDetector --exclude-lines '%s:%s@|FILL-IN'

# Each run starts a dozen processes that import much; where bytecode is switched off, each compiles all of it.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo demo-full up test test-browser test-gpu chaos compose-test k8s-test pods-test cluster-test scan lint bench reference clean run-ready dev-ready bench-ready

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

demo: run-ready ## the whole mission on a small film studio, then a report; under 8 minutes on 2 cores
	$(BIN)/reel demo

demo-full: run-ready ## the same with the leak gap, a refused promotion and the attention alarm on borders; under 25 minutes
	$(BIN)/reel demo --full

up: run-ready ## run the platform on this machine until Ctrl-C; it prints its address
	$(BIN)/reel up

test: dev-ready ## run every test, against real servers that the run starts itself
	$(BIN)/pytest -n 2 --dist loadfile

test-browser: dev-ready ## the tests in a real browser alone, the demo's data among them; fetches a Chromium where there is none
	@command -v chromium || command -v chromium-browser || command -v google-chrome || $(BIN)/playwright install --with-deps chromium
	$(BIN)/pytest -n 2 --dist loadfile -m browser tests/browser tests/e2e/test_mission.py

test-gpu: dev-ready ## run the tests that need an NVIDIA GPU, on one
	REEL_TEST_GPU=1 $(BIN)/pytest -m gpu services/trainer/tests/test_gpu.py

k8s-test: dev-ready ## render every overlay of k8s/, validate it for two releases of Kubernetes, hold it to the policies
	$(BIN)/pytest -n 0 tests/deploy/test_k*.py

pods-test: dev-ready ## the pods of k8s/overlays/local for real, as docker containers by their own specs: no cluster is needed
	$(BIN)/python tests/pods/end_to_end.py $(ARGS)

cluster-test: dev-ready ## docs/deploy-kubernetes.md on the cluster of kubectl's context, which has the images: train, serve, upgrade under load
	$(BIN)/python tests/cluster/end_to_end.py $(ARGS)

scan: dev-ready ## checkov over the Dockerfile and the rendered k8s/, in an environment of its own (230 MB)
	@# not beside its lock: what looks through scripts/ would look through that too
	UV_PROJECT_ENVIRONMENT=$(CURDIR)/.uv/scan .uv/uv run --project scripts/scan --frozen python scripts/scan/scan.py $(BIN)/kubectl

compose-test: dev-ready ## docker-compose.yml for real: build, train, serve, scale and kill under load, take away what it stands on; ARGS=--no-build
	$(BIN)/python tests/compose/end_to_end.py $(ARGS)

chaos: export REEL_CHAOS_SEEDS ?= 1 2 3
chaos: export REEL_CHAOS_JOBS ?= 400
chaos: export REEL_CHAOS_KILLS ?= 40
chaos: export REEL_CHAOS_FAULTS ?= 60
chaos: export REEL_CHAOS_STEPS ?= 20
chaos: dev-ready ## what is promised while everything is killed, longer than in the tests: docs/reliability.md
	$(BIN)/pytest -n 0 -rP tests/chaos

lint: dev-ready ## style, types, security, secrets, import rules, templates, the lock file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive $(SOURCES)
	$(BIN)/hadolint services/Dockerfile
	@# files that git knows; a false alarm is answered by a comment on its line: pragma: allowlist secret
	git ls-files -z -- . ':!*uv.lock' ':!*.png' | xargs -0 -n 250 -P 2 $(BIN)/$(SECRETS)
	! git grep -nE 'reel_[0-9a-f]{12}_[A-Za-z0-9_-]{43}'
	$(BIN)/djlint --lint --quiet services/web/reel_web
	@# it was resolved against PyPI; a mirror named in the environment would make it seem out of date
	env -u UV_DEFAULT_INDEX -u UV_INDEX_URL .uv/uv lock --check

bench: bench-ready ## run every benchmark (over an hour; installs the serving peers); their figures go to the terminal
	@for name in frames hashing augment subjects training inference serving jobs pages explaining; do \
		echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done
	@echo "== memory"; $(BIN)/python benchmarks/memory.py --minutes 10 --pictures 5000

reference: dev-ready ## write the pages of docs/reference/ anew from the code
	$(BIN)/python -m scripts.reference

clean: ## remove installed packages and caches; the platform's data in .data stays
	rm -rf .venv .uv .mypy_cache .ruff_cache .import_linter_cache .hypothesis

run-ready:
	@$(PYTHON) scripts/bootstrap.py

dev-ready:
	@$(PYTHON) scripts/bootstrap.py --dev

bench-ready:
	@$(PYTHON) scripts/bootstrap.py --bench
