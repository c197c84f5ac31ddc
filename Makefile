# Every target works from a fresh clone. SUITE, KERNEL, MIRROR, ACCEL and IVSHMEM_CACHE: see guest-image/README.md.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

node_modules: package-lock.json
	npm ci
	@touch node_modules

.PHONY: install
install: node_modules ## Install npm dependencies and the Debian packages that builds and VMs need
	npx tsx qemu/prerequisites.ts

.PHONY: build
build: install ## Compile the native addon and the TypeScript
	npm run --silent build:native
	npm run --silent build

.PHONY: image
image: install ## Build the guest image, if it is not in the cache
	npx tsx guest-image/build.ts
