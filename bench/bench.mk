# make bench         the peers and the ceilings beside the module: about twenty
#                    minutes; exits non-zero where a target is missed
# make bench-smoke   that all of it works, without a judgement of speed
#
# Included by the Makefile.  BENCH holds options of bench/run.

BENCH        ?=
BENCH_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra

BENCH_TOOLS := build/bench/load build/bench/effects

.PHONY: bench bench-smoke bench-build deps-bench

deps-bench:
	@$(DEPS) bench

build/bench/%.o: bench/%.c $(wildcard bench/*.h) bench/bench.mk | deps-bench
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -c -o $@ $<

build/bench/load: build/bench/load.o build/bench/load_run.o \
		build/bench/load_request.o build/bench/load_conn.o \
		build/bench/load_uring.o build/bench/event.o \
		build/bench/event_template.o
	$(CC) -o $@ $^

build/bench/effects: build/bench/effects.o build/bench/effects_runs.o \
		build/bench/effects_users.o build/bench/json.o \
		build/bench/redis.o build/bench/event.o \
		build/bench/event_template.o
	$(CC) -o $@ $^


# ceiling (c), with the flags and headers of the module's own build

BENCH_READ := build/bench/ngx_http_bench_read_module.so

$(BENCH_READ): build/nginx/objs/Makefile bench/ceilings/read.mk \
		bench/ceilings/ngx_http_bench_read_module.c
	@mkdir -p $(@D)
	@$(MAKE) -s --no-print-directory -C build/nginx \
		-f $(CURDIR)/bench/ceilings/read.mk $(CURDIR)/$@ \
		SOURCE=$(CURDIR)/bench/ceilings/ngx_http_bench_read_module.c


# the packages of peer (b)

build/peers/installed: bench/peers/node/package-lock.json | deps-bench
	@bench/peers/node/install > /dev/null


# peer (e), of Debian's packages alone

BENCH_GO := GO111MODULE=off GOFLAGS= GOPATH=/usr/share/gocode \
		GOCACHE=$(CURDIR)/build/go-cache CGO_ENABLED=0 go

build/bench/go-peer: $(wildcard bench/peers/go/*) | deps-bench
	@mkdir -p $(@D)
	cd bench/peers/go && $(BENCH_GO) build -o $(CURDIR)/$@ .


bench-build: module deps-bench $(BENCH_TOOLS) $(BENCH_READ) \
		build/peers/installed build/bench/go-peer

bench: bench-build
	@bench/run $(BENCH)

bench-smoke: bench-build
	@bench/run --smoke $(BENCH)
