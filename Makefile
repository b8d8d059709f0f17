# Run `make help` for what there is. Nothing is built or kept inside the checkout: see scripts/environment.
export MILLRACE_TOOLS ?= $(HOME)/.cache/millrace-tools
export CARGO_TARGET_DIR ?= $(HOME)/.cache/millrace-target

DATA ?= $(HOME)/.local/share/millrace
PG ?= 127.0.0.1:6580
HTTP ?= 127.0.0.1:6581
SUITES ?= ../shared/suites

.PHONY: help run build test test-suites check format bench clean-tools

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

run: ## Install what is missing, build, and serve (DATA=folder PG=address HTTP=address).
	@scripts/setup
	cargo build --release
	@mkdir -p "$(DATA)"
	@exec "$(CARGO_TARGET_DIR)/release/millrace" serve --data "$(DATA)" --pg "$(PG)" --http "$(HTTP)"

build: ## Build the release binary.
	@scripts/setup
	cargo build --release

test: ## Run every test: Rust, SQL files in all modes, clients. Installs what they need.
	@scripts/setup test
	@scripts/test

test-suites: ## Run public sqllogictest files in all modes (SUITES=folder of files or of .tar.xz).
	@scripts/setup test
	@scripts/test-suites "$(SUITES)"

check: ## Check formatting and lints.
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings

format: ## Format the code.
	cargo fmt

bench: ## Build with optimization and print all figures, in about 15 minutes (ARGS=... for `millrace bench`).
	@scripts/setup test
	cargo build --release
	@scripts/bench $(ARGS)

clean-tools: ## Stop the test servers and remove what was fetched for them.
	@scripts/postgres stop
	@scripts/kafka wipe
	rm -rf "$(MILLRACE_TOOLS)"
