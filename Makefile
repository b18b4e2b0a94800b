# The few commands that most people need; CMake does the work (see CMakePresets.json for more).
# PRESET=dev, asan or tsan builds and tests that configuration instead of release.
PRESET ?= release
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
BUILD = build/$(PRESET)

.PHONY: build setup chat serve test test-arm64 install format lint clean help

build: $(BUILD)/build.ninja
	@cmake --build $(BUILD) --target fathom -j $(JOBS)
	@echo "built $(BUILD)/fathom"

$(BUILD)/build.ninja:
	@echo "configuring $(BUILD)"
	@cmake --preset $(PRESET)

setup:
	@scripts/setup

chat: setup
	@$(MAKE) --no-print-directory build
	@$(BUILD)/fathom chat

serve: setup
	@$(MAKE) --no-print-directory build
	@$(BUILD)/fathom serve --open

test: setup
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS) $(if $(TARGET),--target $(TARGET))
	@ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -j $(JOBS) $(CTEST_ARGS)

test-arm64:
	@scripts/setup --arm64
	@$(MAKE) --no-print-directory test PRESET=arm64

install: build
	@cmake --build $(BUILD) --target fathom_docs
	@cmake --install $(BUILD) --prefix $(PREFIX)

format:
	@scripts/format

lint:
	@scripts/lint

clean:
	rm -rf build

help:
	@echo "make            build fathom (build/release/fathom)"
	@echo "make setup      install the packages that are missing"
	@echo "make chat       setup, build, and talk to the embedded model"
	@echo "make serve      setup, build, and serve the embedded model and its chat page on http://127.0.0.1:8080"
	@echo "make test       setup, build, and run all tests"
	@echo "make test-arm64 build the kernels for 64-bit Arm and run their tests under qemu-user"
	@echo "make install    install to PREFIX (/usr/local), with man page and shell completion"
	@echo "make format     lay the sources out with clang-format"
	@echo "make lint       clang-tidy"
	@echo "make clean      remove build/"
