# make           builds build/ngx_knock_module.so for the installed nginx
# make demo      shows the module at work; goes on serving until make stop
# make test      runs every test; ends with "N passed, N failed"
# make bench     how fast it is, beside its peers and ceilings (ten minutes)
# make chaos     faults under load, with a ledger for each (six minutes)
# make fuzz      libFuzzer on what reads foreign bytes (40 minutes)
# make lint      the compiler's, clang-tidy's and other tools' opinions
# make asan      the tests under an nginx with ASan and UBSan
# make install   into nginx's folder of modules
# make deb       the package libnginx-mod-http-knock, in build/deb
# make debian-13, make debian-12
#                all of this in roots of that Debian, under build/, as root
# make clean
#
# What a target needs and the machine lacks is installed first (Debian; as
# root or with sudo).  NO_DEPS=1 leaves the machine as it is.

NGINX        ?= /usr/sbin/nginx
NGINX_SRC    ?= /usr/share/nginx/src
REDIS_SERVER ?= redis-server
PORT         ?= 8080

# make test: the .t files, and `test-runner=fallback` for the runner of t/lib
# even where CPAN's Test::Nginx is installed

TESTS        ?=
test-runner  ?= auto

# not NGINX itself: nginx takes that for sockets that it inherits

export KNOCK_NGINX = $(NGINX)
export REDIS_SERVER PORT LISTEN
unexport NGINX

MODULE  := build/ngx_knock_module.so
SOURCES := $(wildcard ngx_knock_module/*.c ngx_knock_module/*.h)
PURE    := $(wildcard ngx_knock_module/knock_*.c)
UNITS   ?= $(patsubst t/unit/%.c,%,$(wildcard t/unit/test_*.c))

DEPS    := $(if $(NO_DEPS),:,scripts/deps)

# as many at a time as there are processors, unless -j says otherwise

ifeq (,$(filter -j%,$(MAKEFLAGS)))
MAKEFLAGS += -j$(shell nproc)
endif


.PHONY: all module demo stop screenshots test unit lint asan install clean FORCE
.PHONY: deb debian-12 debian-13
.PHONY: deps deps-build deps-test deps-lint deps-asan deps-deb deps-debian

all: module

module: $(MODULE)


# dependencies

deps: deps-build deps-test deps-lint

deps-build deps-test deps-lint deps-asan deps-deb deps-debian:
	@$(DEPS) $(@:deps-%=%)


# the module: nginx's own build, in a copy of its tree, which two makes at a
# time must not both write to

LOCKED := flock build/lock
JOBS   := $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

build/nginx.version: FORCE | deps-build
	@mkdir -p build
	@$(NGINX) -V > $@.new 2>&1
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

build/nginx/objs/Makefile: build/nginx.version config config.make \
		scripts/configure
	$(LOCKED) scripts/configure $(NGINX) $(NGINX_SRC) build/nginx

$(MODULE): build/nginx/objs/Makefile $(SOURCES) redis-schema/knock.lua \
		ngx_knock_module/embed.sh
	+@$(LOCKED) $(MAKE) $(JOBS) -s --no-print-directory \
		-C build/nginx -f objs/Makefile modules
	cp build/nginx/objs/ngx_knock_module.so $@.new && mv $@.new $@

install: module
	$(eval DIR := $(shell $(NGINX) -V 2>&1 \
		| sed -n "s/.*--modules-path=\([^ ']*\).*/\1/p"))
	install -d $(DESTDIR)$(DIR)
	install -m 644 $(MODULE) $(DESTDIR)$(DIR)/

deb: deps-deb
	@scripts/deb build/deb

debian-12: deps-debian
	@scripts/debian bookworm build/debian-12 $(TESTS)

debian-13: deps-debian
	@scripts/debian trixie build/debian-13 $(TESTS)


include bench/bench.mk
include chaos/chaos.mk
include t/fuzz/fuzz.mk


# unit tests of the files that know nothing of nginx: plain (these run under
# valgrind too) and with sanitizers

UNIT_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -MMD -MP \
               -Ingx_knock_module -It/unit
UNIT_LIBS   := -lcmocka -lcjson -lcrypto
SANITIZE    := -fsanitize=address,undefined -fno-sanitize-recover=all \
               -fno-omit-frame-pointer

build/unit/%.o: ngx_knock_module/%.c Makefile | deps-test
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -c -o $@ $<

build/unit/%.o: t/unit/%.c Makefile | deps-test
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -c -o $@ $<

build/unit-asan/%.o: ngx_knock_module/%.c Makefile | deps-test
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) -c -o $@ $<

build/unit-asan/%.o: t/unit/%.c Makefile | deps-test
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) -c -o $@ $<

build/unit/libknock.a: $(PURE:ngx_knock_module/%.c=build/unit/%.o)
	rm -f $@
	$(AR) rcs $@ $^

build/unit-asan/libknock.a: $(PURE:ngx_knock_module/%.c=build/unit-asan/%.o)
	rm -f $@
	$(AR) rcs $@ $^

build/unit/test_%: build/unit/test_%.o build/unit/libknock.a
	$(CC) -o $@ $^ $(UNIT_LIBS)

build/unit-asan/test_%: build/unit-asan/test_%.o build/unit-asan/libknock.a
	$(CC) $(SANITIZE) -o $@ $^ $(UNIT_LIBS)

.SECONDARY:

-include $(wildcard build/unit/*.d build/unit-asan/*.d)

include t/hostile/hostile.mk

# the unit tests alone, once, plain: `make unit`, `make unit UNITS=test_json`

unit: $(UNITS:%=build/unit/%)
	@t/run-tests --unit $(UNITS:%=t/unit/%.c)


# the tests, and what they need beside the module: of those in TESTS, or all

FOLDERS    := bench fuzz hostile
TEST_UNITS := $(UNITS)

ifneq (,$(strip $(TESTS)))
FOLDERS    := $(foreach i,$(FOLDERS),$(if $(filter t/$i/%,$(TESTS)),$i))
TEST_UNITS := $(patsubst t/unit/%.c,%,$(filter t/unit/%.c,$(TESTS)))
endif

TEST_TOOLS := $(FOLDERS:%=%-build) $(TEST_UNITS:%=build/unit-asan/%)

test: module deps-test $(TEST_TOOLS) $(TEST_UNITS:%=build/unit/%)
	@t/run-tests --runner=$(test-runner) $(TESTS)


# the fuzz targets have their sanitizers in any case: their corpora will do

asan: deps-build deps-test deps-asan $(TEST_TOOLS)
	scripts/asan build/asan
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-0} \
		t/run-tests --runner=$(test-runner) --asan=build/asan $(TESTS)


lint: build/nginx/objs/Makefile deps-test deps-lint
	@scripts/lint


# the demonstration

demo: module
	@$(DEPS) demo
	@examples/demo.sh start

stop:
	@examples/demo.sh stop

# the pictures of docs/dashboard.md

screenshots: module deps-test
	@t/dashboard/run screenshots


clean:
	rm -rf build
