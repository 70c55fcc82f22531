# what t/hostile/linear.t runs; included by the Makefile

HOSTILE_SOURCES := t/hostile/cost.c t/fuzz/live.c

.PHONY: hostile-build

build/hostile/cost: $(HOSTILE_SOURCES) t/fuzz/fuzz.h t/fuzz/live.h \
		build/unit/libknock.a
	@mkdir -p $(@D)
	$(CC) $(filter-out -M%,$(UNIT_CFLAGS)) -It/fuzz -o $@ \
	    $(HOSTILE_SOURCES) build/unit/libknock.a $(UNIT_LIBS)

hostile-build: build/hostile/cost
