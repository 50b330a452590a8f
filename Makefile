# Everything that people do here, one target each. `make` alone lists them.

PROFILE ?= full
ARGS ?=
DEVICE ?= flex
SEQLAB = cargo run --release $(FEATURES) --bin seqlab --

# LibTorch is compiled in, and found by what it is compiled into, where one of its devices is asked for.
ifneq ($(filter tch%,$(DEVICE)),)
FEATURES := --features tch
LIBTORCH ?= $(CURDIR)/.seqlab/libtorch
export LIBTORCH
export LD_LIBRARY_PATH := $(LIBTORCH)/lib:$(LD_LIBRARY_PATH)
endif

.DEFAULT_GOAL := help
.PHONY: help results report test lint check-targets audit bench setup-tch

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-28s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Experiments: $(patsubst experiments/%.toml,%,$(filter-out experiments/claims.toml,$(wildcard experiments/*.toml)))"

experiment-%: ## Run an experiment (PROFILE=quick for a smoke test, ARGS="--jobs 1")
	$(SEQLAB) run $* --profile $(PROFILE) --device $(DEVICE) $(ARGS)

verify-%: ## Train some cells of a result again and compare (ARGS="--cells 20")
	$(SEQLAB) verify $* $(ARGS)

results: ## Run every experiment in full
	@set -e; for definition in $(filter-out experiments/claims.toml,$(wildcard experiments/*.toml)); do \
	  $(MAKE) --no-print-directory experiment-$$(basename $$definition .toml); \
	done

report: ## Judge and write all cards again from the committed tables
	$(SEQLAB) report

test: ## Run all tests, in the build that the experiments use
	cargo test --release --workspace $(FEATURES)

lint: ## Check format and lints
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets $(FEATURES) -- -D warnings

OTHER_TARGETS := aarch64-unknown-linux-gnu aarch64-apple-darwin
check-targets: ## Check that kernels, training and models compile for other processors and systems
	rustup target add $(OTHER_TARGETS)
	@set -e; for target in $(OTHER_TARGETS); do cargo check --target $$target --package models; done

audit: ## Check licences and origins of all dependencies (needs cargo-deny)
	cargo deny --all-features check licenses bans sources

setup-tch: ## Prepare LibTorch for DEVICE=tch, which experiment-%, test and lint take (needs Python with pip)
	python3 crates/training/setup_tch.py .seqlab/libtorch

bench: ## Time seqlab beside PyTorch and KenLM (needs Python, a C++ compiler and Boost)
	$(MAKE) -C bench
