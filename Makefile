# SPDX-License-Identifier: MIT
#
# Meson and ninja do the work; this file only remembers the words. Everything built lies in build/.
.PHONY: all demo check bench fuzz soak package-check tidy install clean distclean

NINJA := ninja
PREFIX ?= /usr/local

all: build/build.ninja
	@$(NINJA) -C build
	@echo "The command is build/cli/godwit; \`make install\` puts it into $(PREFIX)/bin."

build/build.ninja:
	@scripts/setup
	@meson setup build -Dtests=false >build.log 2>&1 || { cat build.log; rm -f build.log; exit 1; }
	@mv build.log build/setup.log

# The tour: two machines, a live migration, the table of what happened.
demo: build/build.ninja
	@scripts/setup
	@if [ -t 1 ]; then $(NINJA) -C build; else $(NINJA) -C build --quiet; fi
	@build/cli/godwit demo

# Everything that can fail, in plain, ASan+UBSan and TSan builds, and unit tests for aarch64. Ends with `N passed, N failed`.
check:
	@scripts/setup check
	@scripts/peers || echo "no peers to talk to: their tests are skipped (with CI=true: failed)"
	@python3 tools/check.py $(CHECK)

bench:
	@scripts/setup
	@test -f build/release/build.ninja || meson setup build/release --buildtype=release -Dtests=false >/dev/null
	@$(NINJA) -C build/release --quiet
	@$(NINJA) -C build/release --quiet run-bench

# libFuzzer, FUZZ_SECONDS for each target, FUZZ_JOBS of them at a time.
fuzz:
	@scripts/setup fuzz
	@python3 tools/fuzz.py --seconds $${FUZZ_SECONDS:-60} --jobs $${FUZZ_JOBS:-1}

# The long runs that `make check` has no time for.
soak:
	@scripts/setup check
	@scripts/peers
	@python3 tools/check.py --soak

# Debian packages: built in a fresh Debian 12 and 13, looked at, installed, used, removed. As root, some 20 minutes.
package-check:
	@scripts/package-check $(SUITES)

tidy:
	@scripts/setup tidy
	@python3 tools/tidy.py

install: all
	@meson configure build --prefix=$(PREFIX)
	@meson install -C build

# What was fetched from elsewhere (build/peers) stays; distclean takes that too.
clean:
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name peers -exec rm -rf {} +; fi

distclean:
	@rm -rf build
