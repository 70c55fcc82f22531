# make chaos         faults under load, with a ledger for each: under ten
#                    minutes; exits non-zero where an event was lost or doubled
#
# Included by the Makefile.  CHAOS holds options of chaos/run, and names of
# scenarios.

CHAOS ?=

.PHONY: chaos deps-chaos

deps-chaos:
	@$(DEPS) chaos

chaos: module deps-chaos
	@chaos/run $(CHAOS)
