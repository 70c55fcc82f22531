# make fuzz          each target for FUZZ_SECONDS (600), as many at a time as
#                    there are processors; exits non-zero at a finding
# make fuzz-corpus   takes what make fuzz has found into the corpus, and leaves
#                    out what adds nothing
#
# Included by the Makefile.  FUZZ holds names of targets: all, unless it does.

FUZZ        ?=
FUZZ_CC     ?= clang
FUZZ_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -MMD -MP \
               -fno-omit-frame-pointer -Ingx_knock_module -It/fuzz
FUZZ_SAN    := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_LIBS   := -lcjson -lcrypto -lhiredis

FUZZ_NAMES  := $(patsubst t/fuzz/fuzz_%.c,%,$(wildcard t/fuzz/fuzz_*.c))
FUZZ_BINS   := $(FUZZ_NAMES:%=build/fuzz/%)

# the objects of replies know nginx by its headers only

FUZZ_NGX    := $(addprefix -isystem build/nginx/src/,core event event/modules \
                 event/quic http http/modules os/unix) \
               -isystem build/nginx/objs \
               -Wno-unused-parameter
FUZZ_REDIS  := $(addprefix build/fuzz/obj/ngx_http_knock_redis_,object.o \
                 slots.o redirect.o)
FUZZ_NGX_O  := build/fuzz/obj/fuzz_reply.o build/fuzz/obj/fuzz_cluster.o \
               $(FUZZ_REDIS)
FUZZ_SHARED := $(addprefix build/fuzz/obj/,begin.o live.o strict.o)

.PHONY: fuzz fuzz-build fuzz-corpus deps-fuzz

deps-fuzz:
	@$(DEPS) fuzz

# one error that says what is missing, rather than one of the linker's for each

build/fuzz/compiler: | deps-fuzz
	@mkdir -p $(@D)
	@echo 'int LLVMFuzzerTestOneInput(void); \
	       int LLVMFuzzerTestOneInput(void) { return 0; }' \
	    | $(FUZZ_CC) -x c -fsanitize=fuzzer -o $@ - > $@.log 2>&1 \
	    || { cat $@.log; \
	         echo "$(FUZZ_CC) has no libFuzzer, which the fuzz targets need:" \
	              "run scripts/deps fuzz, or apt-get install clang" \
	              "libclang-rt-dev"; \
	         exit 1; } >&2

build/fuzz/obj/%.o: ngx_knock_module/%.c t/fuzz/fuzz.mk | build/fuzz/compiler
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_SAN) -fsanitize=fuzzer-no-link -c -o $@ $<

build/fuzz/obj/%.o: t/fuzz/%.c t/fuzz/fuzz.mk | build/fuzz/compiler
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_SAN) -c -o $@ $<

$(FUZZ_NGX_O): FUZZ_CFLAGS += $(FUZZ_NGX)
$(FUZZ_NGX_O): build/nginx/objs/Makefile

build/fuzz/libknock.a: $(PURE:ngx_knock_module/%.c=build/fuzz/obj/%.o)
	rm -f $@
	$(AR) rcs $@ $^

build/fuzz/reply: build/fuzz/obj/ngx_http_knock_redis_object.o
build/fuzz/cluster: $(FUZZ_REDIS)

build/fuzz/%: build/fuzz/obj/fuzz_%.o $(FUZZ_SHARED) build/fuzz/libknock.a
	$(FUZZ_CC) $(FUZZ_SAN) -fsanitize=fuzzer -o $@ \
	    $(filter-out %.a,$^) $(filter %.a,$^) $(FUZZ_LIBS)

-include $(wildcard build/fuzz/obj/*.d)


fuzz-build: $(FUZZ_BINS)

fuzz: fuzz-build
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} t/fuzz/run $(FUZZ)

fuzz-corpus: fuzz-build
	@t/fuzz/run --merge $(FUZZ)
