# Every command of the README. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

SKU ?= cpu
MODELS ?=
MODEL ?=
TEST_MODELS := all-minilm-l6-v2,reference-reranker,tests/models/small-reader.toml,tests/models/reference-llm.toml
MINUTES ?=
FAULTS ?=
BUILD_FLAGS ?=
PLAN_FLAGS ?=
SERVE_FLAGS ?=
BENCH_FLAGS ?=
EDGE_FLAGS ?= --gateway 127.0.0.1:8080
SLO ?=
COLLECTION ?=
FROM ?=
TO ?=
URL ?=
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done || echo python3)
PIP_FLAGS := -qq --disable-pip-version-check
# Compiled, the environments that build and test take 0.35 GiB more; few of their modules are imported.
BUILD_PIP_FLAGS := $(PIP_FLAGS) --no-compile

BUILD := .venv/bin/python
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= true
# Some images set it. Then every process compiles torch's modules again, which takes 7 seconds.
unexport PYTHONDONTWRITEBYTECODE
# What runs here asks servers of this machine, which a proxy would look for on itself.
comma := ,
export no_proxy := localhost,127.0.0.1$(addprefix $(comma),$(or $(no_proxy),$(NO_PROXY)))

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 19

setup: .venv/.ready .venv-serve/.ready  ## make the Python environments (about 2 minutes, once)

.venv/.ready: requirements/build.lock requirements/torch-cpu.txt pyproject.toml client/pyproject.toml tools/triton_lint/pyproject.toml tools/traces/pyproject.toml
	@$(PYTHON) -m operations.setup_check
	@echo "[setup 1/2] build and test environment: .venv (about 1.5 minutes) …"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install $(BUILD_PIP_FLAGS) --no-deps -r requirements/torch-cpu.txt || { echo "torch+cpu is not on this machine's package indexes: add PyTorch's CPU index (PIP_EXTRA_INDEX_URL, see pytorch.org/get-started)" >&2; exit 1; }
	@.venv/bin/pip install $(BUILD_PIP_FLAGS) --no-deps -r requirements/build.lock
	@.venv/bin/pip install $(BUILD_PIP_FLAGS) --no-deps -e . -e client -e tools/triton_lint -e tools/traces
	@touch $@

.venv-serve/.ready: requirements/serve-cpu.lock pyproject.toml
	@$(PYTHON) -m operations.setup_check
	@echo "[setup 2/2] serving environment, no torch: .venv-serve (about 0.5 minutes) …"
	@$(PYTHON) -m venv .venv-serve
	@.venv-serve/bin/pip install $(PIP_FLAGS) --no-deps -r requirements/serve-cpu.lock
	@echo ../../../.. > "$$(echo .venv-serve/lib/python3.*/site-packages)/triton-rag.pth"  # relative: Triton's Python reads no letters outside ASCII
	@touch $@

build-engines: setup  ## make the engines of SKU (default cpu) and render model_repository/
	@$(BUILD) -m builders build-engines --sku $(SKU) $(BUILD_FLAGS) --models "$(MODELS)"

use: setup  ## build MODEL (a spec's name) and serve it from now on; MODEL=default goes back
	@$(BUILD) -m builders use --sku $(SKU) "$(MODEL)"

engines-gc: setup  ## remove engines of all SKUs that nothing uses
	@$(BUILD) -m builders engines-gc

demo: build-engines  ## build what is missing, serve, ask, and stop: cited answers
	@$(BUILD) -m operations serve --free-ports --run client/demo.sh

plan: setup  ## say what a GPU SKU would get, and why
	@$(BUILD) -m builders plan --sku $(SKU) --models "$(MODELS)" $(PLAN_FLAGS)

# Engines for a GPU are built on it, in the container: their build can't be a step of this.
serve: $(if $(filter cpu,$(SKU)),build-engines,setup)  ## run tritonserver (127.0.0.1:8000-8002) and the gateway (8080) until Ctrl-C
	@$(BUILD) -m operations serve --sku $(SKU) $(SERVE_FLAGS)

move-collection: setup  ## copy COLLECTION to the store TO, a folder or a URL (from FROM: build/collections)
	@.venv-serve/bin/python -m python_backends.stores.move "$(COLLECTION)" --to "$(TO)" $(if $(FROM),--from "$(FROM)")

edge: setup  ## run Envoy in front of several gateways (EDGE_FLAGS="--gateway HOST:PORT …")
	@$(BUILD) -m gateway edge $(EDGE_FLAGS)

preflight: setup  ## say what keeps this machine from serving
	@$(BUILD) -m operations preflight --sku $(SKU)

render: setup  ## write config.pbtxt (of all SKUs) and model.py of every model
	@$(BUILD) -m builders render

check: setup  ## check generated files, style, types, import rules and documentation
	@$(BUILD) -m builders check
	@.venv/bin/ruff check -q .
	@.venv/bin/ruff format -q --check .
	@.venv/bin/mypy
	@MYPYPATH=client .venv/bin/mypy --config-file client/pyproject.toml -p triton_rag
	@MYPYPATH=client .venv/bin/mypy --config-file client/pyproject.toml examples/*.py
	@MYPYPATH=tools/triton_lint .venv/bin/mypy --config-file tools/triton_lint/pyproject.toml -p triton_lint
	@MYPYPATH=tools/traces .venv/bin/mypy --config-file tools/traces/pyproject.toml -p triton_traces
	@$(BUILD) -m triton_lint model_repository --no-files --strict
	@PATH=.venv/bin:$$PATH lint-imports
	@said=$$($(BUILD) -m pytest tests/golden/test_docs.py tests/golden/test_documented_names.py) || { echo "$$said"; exit 1; }

test-models: setup  ## make the engines of the models that tests name, in build/tests
	@MODEL_REPOSITORY=build/tests/model_repository $(BUILD) -m builders build-engines --models "$(TEST_MODELS)"

test: build-engines test-models .venv-clients/.ready  ## run all tests that need no GPU, against a real tritonserver
	@$(BUILD) -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/server tests/unit tests/golden tools/triton_lint/tests/unit tools/traces/tests

.venv-clients/.ready: requirements/clients.lock
	@echo "[test] published clients: .venv-clients …"
	@$(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/pip install $(BUILD_PIP_FLAGS) --no-deps -r $<
	@touch $@

test-gpu: setup  ## run the tests on the GPU of SKU, whose engines are built (never run yet)
	@SKU=$(SKU) $(BUILD) -m pytest tests/gpu

bench: build-engines bench-peers  ## measure against bare engines and other servers, into docs/benchmarks.md (about an hour)
	@MODEL_REPOSITORY=model_repository $(BUILD) -m tests.bench $(BENCH_FLAGS)

bench-peers: .venv-peers/.ready  ## make the environment of the other servers: .venv-peers (about 2 minutes)

.venv-peers/.ready: requirements/peers.lock requirements/torch-cpu.txt pyproject.toml
	@echo "[bench] other servers: .venv-peers (about 2 minutes) …"
	@$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/pip install $(BUILD_PIP_FLAGS) --no-deps -r requirements/torch-cpu.txt
	@.venv-peers/bin/pip install $(BUILD_PIP_FLAGS) --no-deps -r requirements/peers.lock
	@touch $@

headroom: $(if $(URL),setup,build-engines)  ## find the largest load that keeps SLO="rag:p99<5s" (10 minutes; URL= of a running server)
	@MODEL_REPOSITORY=model_repository $(BUILD) -m tests.headroom "$(or $(SLO),rag:p99<5s)" --minutes $(or $(MINUTES),10) $(if $(URL),--url $(URL))

evaluate: build-engines  ## measure answers over real text, into docs/evaluation.md (about 15 minutes)
	@for part in requests collection owners; do MODEL_REPOSITORY=model_repository $(BUILD) -m tests.evaluation $$part || exit; done

bench-collections: build-engines  ## measure collections in both stores (about 15 minutes)
	@MODEL_REPOSITORY=model_repository $(BUILD) -m tests.collections_bench speed
	@MODEL_REPOSITORY=model_repository $(BUILD) -m tests.collections_bench ranking

bench-gateway: build-engines  ## measure what the gateway costs beside direct calls (3 minutes; LITELLM= an environment with litellm[proxy])
	@MODEL_REPOSITORY=model_repository $(BUILD) -m tests.gateway_bench $(if $(LITELLM),--litellm $(LITELLM))

bench-llama: bench-peers  ## install llama.cpp for `make bench` (compiles for 10 minutes and more)
	@.venv-peers/bin/pip install $(BUILD_PIP_FLAGS) --no-deps -r requirements/peers-llama.txt

# Both mount a file system of their own over /dev/shm, which takes root or user namespaces.
chaos: test-models  ## inject faults into the server, into docs/faults.md (about 16 minutes; FAULTS="kill-llm …")
	@$(BUILD) -m tests.chaos $(if $(FAULTS),$(FAULTS))

soak: test-models  ## load the server for MINUTES (30) and watch its memory, into docs/soak.md
	@$(BUILD) -m tests.soak --minutes $(or $(MINUTES),30)

bench-lint: setup  ## compare the linter's verdicts with the real server's over 2,300 repositories (about 6 minutes)
	@$(BUILD) -m tools.triton_lint.tests

monitoring:  ## start Prometheus and Grafana beside a running server (needs docker)
	@docker compose -f operations/monitoring/compose.yml up

check-monitoring:  ## check the rules and run their tests (needs promtool: apt-get install prometheus)
	@command -v promtool >/dev/null || { echo "promtool is not on PATH: install Prometheus (Debian: apt-get install prometheus)" >&2; exit 1; }
	@promtool check config operations/monitoring/prometheus.yml
	@promtool test rules operations/monitoring/rules_test.yml

lock: setup  ## resolve requirements/*.in again (needs uv)
	uv pip compile -q requirements/serve-cpu.in -o requirements/serve-cpu.lock --no-header --no-annotate --python-version 3.11 --universal
	for flavour in serve-gpu serve-gpu-llm-api; do uv pip compile -q requirements/$$flavour.in -o requirements/$$flavour.lock --no-deps --no-header --no-annotate --python-version 3.12 --python-platform x86_64-manylinux_2_28; done
	uv pip compile -q requirements/peers.in -o requirements/peers.lock --no-header --no-annotate --python-version 3.11 --override requirements/overrides.txt
	uv pip compile -q requirements/gateway.in -o requirements/gateway.lock --no-header --no-annotate --python-version 3.11
	uv pip compile -q requirements/clients.in -o requirements/clients.lock --no-header --no-annotate --python-version 3.11
	uv pip compile -q requirements/build.in -o requirements/build.lock --no-header --no-annotate --python-version 3.11 --override requirements/overrides.txt

clean:  ## remove environments and engines
	rm -rf .venv .venv-serve .venv-peers .venv-clients build model_repository/*/1/engine

.PHONY: help setup build-engines use engines-gc demo plan serve move-collection edge preflight render check test test-models test-gpu bench bench-collections bench-gateway headroom evaluate monitoring check-monitoring bench-lint lock chaos soak clean
