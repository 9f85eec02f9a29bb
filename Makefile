# What one does with coma's source. "make" builds ./coma; "make test" is what has to be green.

GO ?= go

.PHONY: build install peers test vet fuzz soak bench cross clean differential

build:
	$(GO) build -o coma ./cmd/coma

install:
	$(GO) install ./cmd/coma

# The tests start real processes and brokers; -race slows them by several times.
test:
	$(GO) test -race -timeout 30m ./...

# What some tests and benchmarks compare coma with: the real Chroma and its clients, the MQTT client of the Python
# framework, TypeScript for the types of coma's own JavaScript client. Tests skip what is not there.
PYPI := chromadb==1.3.4 paho-mqtt==2.2.0
NPM := chromadb@3 typescript@5 @types/node@20
PEERS := .peers/$(subst /,-,$(subst $() ,+,$(PYPI) $(NPM)))
peers: $(PEERS)
$(PEERS):
	rm -rf .peers && mkdir .peers
	python3 -m venv .peers/venv
	.peers/venv/bin/pip install --quiet --disable-pip-version-check $(PYPI)
	if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix .peers $(NPM); else echo "no npm: JavaScript is left out"; fi
	touch '$@'

vet:
	$(GO) vet ./...
	test -z "$$(gofmt -l . | tee /dev/stderr)"

# Each fuzz target for a short while. What it finds is saved and fails again; a second try is for the go command, which
# at times reports the end of its own time ("context deadline exceeded") as a failure.
FUZZTIME ?= 10s
fuzz:
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			run="$(GO) test -run ^$$target$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) $$package"; \
			$$run || $$run; \
		done; \
	done

# The long tests at full length: storms of edits and crashes, ten thousand reloads.
soak:
	COMA_SOAK=1 $(GO) test -timeout 60m -count 1 -v -run 'Storm|Soak' ./internal/soak

# Interpreted against compiled Go: each program alone, 50 times at once, all in one process; then alone in a host built
# with -race; and, for the record, yaegi on the same programs. The tables go to the terminal; wrong must be 0.
SEEDS ?= 200
differential:
	$(GO) run ./internal/differential/counts -seeds $(SEEDS) -peer
	$(GO) run -race ./internal/differential/counts -seeds $(SEEDS) -alone

bench:
	$(GO) run ./bench

cross:
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -o /dev/null ./cmd/coma
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/coma
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/coma

clean:
	rm -f coma
