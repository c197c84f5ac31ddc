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

# node-gyp decides what is out of date.
.PHONY: native
native: install ## Compile the native addon
	npm run --silent build:native

.PHONY: build
build: native ## Compile the native addon and the TypeScript
	npm run --silent build

.PHONY: image
image: install ## Build the guest image, if it is not in the cache
	npx tsx guest-image/build.ts

.PHONY: demo
demo: native ## Boot two VMs and watch them exchange messages, beside TCP over virtio-net
	npx tsx qemu/demo.ts

.PHONY: test
test: native ## Run everything: lint, types, unit, protocol and sanitizer tests with coverage, then the tests in VMs
	npx tsx test/run.ts

.PHONY: qemu-test
qemu-test: native ## Run the tests in VMs
	npx tsx test/run.ts vm

.PHONY: soak
soak: native ## Have 10,000 members join and leave beside two that stay, then count what is left (SOAK_CYCLES, SOAK_SECONDS)
	npx tsx test/support/soak/run.ts

.PHONY: bench
bench: native ## Measure beside C floors and peers, then between two VMs (root: installs the peers' Debian packages)
	bench/prerequisites.sh
	npm run --silent bench -- core --json bench/results/core.json
	npm run --silent bench -- vm --json bench/results/vm.json

.PHONY: bench-vm
bench-vm: native ## Measure between two VMs, beside TCP over virtio-net
	npm run --silent bench -- vm --json bench/results/vm.json

.PHONY: bench-membership
bench-membership: native ## Measure who hears of a change when, beside members that poll, and a restart of the server
	npm run --silent bench -- membership --json bench/results/membership.json

.PHONY: bench-sockets
bench-sockets: native ## Measure sockets over shared memory beside those of node:net, then between two VMs (root)
	npm run --silent bench -- sockets --json bench/results/sockets.json
	npm run --silent bench -- sockets-vm --json bench/results/sockets-vm.json

.PHONY: bench-dsm
bench-dsm: native ## Measure spaces on one host and over two, beside private memory, messages and TCP
	npm run --silent bench -- dsm --json bench/results/dsm.json

.PHONY: study
study: native ## Study this machine and write a report with plots to study/DATE-MACHINE (QUICK=1: within 5 minutes; STUDY=folder; run it again to go on)
	npm run --silent bench -- study $(if $(QUICK),--quick) $(if $(STUDY),--folder $(STUDY)) $(if $(BUDGET),--budget $(BUDGET))

.PHONY: package
package: install ## Pack the npm package with its prebuilt addons, and name the file
	npm pack --pack-destination .cache

.PHONY: format
format: node_modules ## Format and fix what can be fixed
	npx biome check --write .
	clang-format -i native/*.cc native/*.h native/ring/*.h native/guardian/*.c native/test/*.cc native/test/*.h

.PHONY: clean
clean: ## Remove what was built; the cache of images stays
	rm -rf dist coverage native/build native/test/build prebuilds
