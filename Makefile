# pnvs: verify phone numbers from SQL.
#
#   make, make install, make installcheck    as for every extension; PG_CONFIG=... chooses the server
#   make test    build and test in a private copy of PostgreSQL; touches no installed server
#   make test-docs  run the SQL of the pages that make test leaves out
#   make demo    the whole loop on this machine, without an account
#   make demo-page  the same on a web page (npm; PORT=8080)
#   make unit    the unit tests alone; need no PostgreSQL
#   make lint    the checks of style and structure
#   make indent  lay out the C sources
#   make test-majors  the tests on every supported PostgreSQL (root; MAJORS="17 18")
#   make test-asan, test-valgrind, test-coverage   the tests under these tools
#   make test-mutants  break the code in many ways; the tests must notice each
#   make test-soak  thousands of calls, and calls without memory (FULL=1: all of them)
#   make bench   measurements beside their anchors (PG_NET=, HTTP_EXTENSION=: folders of further anchors, built)
#   make bench-soak  many messages and verifications beside faults, kills and promotions; each accounted for (ROWS=, SEED=)
#   make bench-attack  attacks in honest traffic, in virtual time: what the guard lets through (SEED=)
#   make charts  draw the charts of doc/measured from build/bench.json and build/soak.json
#   make test-clients sign up from clients in other languages (npm, Debian)
#   make test-browser sign up on a web page, in Chromium (npm, Debian)
#   make test-oracle compare signatures with Alibaba Cloud's own client (npm)
#   make fuzz    the fuzzers, SECONDS=30 each
#   make dist    the archive that PGXN takes
#   make prepare install what the tests need (Debian and Ubuntu)

EXTENSION = pnvs
MODULE_big = pnvs
PGFILEDESC = "pnvs - verify phone numbers from SQL"
DATA = $(sort $(wildcard pnvs--*.sql))
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c src/*/*/*.c)))

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --encoding=UTF8 --no-locale
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(srcdir)/test/isolation
TAP_TESTS = 1
# Several run at a time, so those that take longest come first.
LONG_TESTS = $(patsubst %,test/t/%.pl,012_recovery 022_queue_obstacles 010_queue_worker 037_guard_memory \
	011_reconciliation 013_life 023_clock_set_back 029_outage 020_full_disk 008_matrix)
LEFT_OUT =
PROVE_TESTS = $(filter-out $(LEFT_OUT),$(LONG_TESTS) $(filter-out $(LONG_TESTS),$(shell cd '$(srcdir)' && ls -r test/t/*.pl)))

EXTRA_CLEAN = build

PKG_CONFIG ?= pkg-config
LIBRARIES = 'libcurl >= 7.80' 'openssl >= 3.0'
HAVE_LIBRARIES := $(shell $(PKG_CONFIG) --exists $(LIBRARIES) 2>/dev/null && echo yes)
PG_CPPFLAGS = -I$(srcdir)/src $(shell $(PKG_CONFIG) --cflags $(LIBRARIES))
# Our calls reach our functions, whatever other extensions call theirs.
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs $(LIBRARIES)) -Wl,-Bsymbolic-functions

# The environment's PG_CONFIG counts too.
PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
# They can be there by themselves: Debian has PGXS beside psql.
SERVER_HEADERS := $(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h)

.DEFAULT_GOAL := all
.PHONY: prepare test test-docs demo demo-page unit lint indent test-majors test-asan \
	test-valgrind test-coverage test-mutants test-soak bench bench-soak bench-attack charts test-clients test-browser test-oracle fuzz dist

ifeq ($(and $(PGXS),$(SERVER_HEADERS),$(HAVE_LIBRARIES)),)

# Something to build with is missing: say what.  The targets further down work, and install it first.
all install installcheck uninstall:
ifeq ($(and $(PGXS),$(SERVER_HEADERS)),)
	@echo "$(PG_CONFIG) has no PGXS or no headers: PostgreSQL's development files are missing, or PG_CONFIG is not the right one." >&2
endif
ifeq ($(HAVE_LIBRARIES),)
	@echo "$(PKG_CONFIG) is missing, or does not find $(LIBRARIES)." >&2
endif
	@echo "On Debian and Ubuntu \"make prepare\" installs what is missing." >&2
	@exit 1

clean distclean maintainer-clean:
	rm -rf $(EXTRA_CLEAN)

.PHONY: all install installcheck uninstall clean distclean maintainer-clean

else

include $(PGXS)

# Every object depends on every header: simple, and never stale.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h src/*/*.h src/*/*/*.h)

endif

prepare:
	@test/run prepare test

test:
	@test/run

# The README and the tutorial are in test/t.
test-docs:
	@test/run tap PROVE_TESTS='$(sort $(wildcard test/documents/*.pl))'

demo:
	@test/run demo

demo-page:
	@test/run page

test-majors:
	@test/run majors $(MAJORS)

test-asan:
	@test/run asan

test-valgrind:
	@test/run valgrind

test-coverage:
	@test/run coverage

test-mutants:
	@test/run mutants

test-soak:
	@test/run soak $(if $(FULL),--full)

bench:
	@test/run bench $(if $(HTTP_EXTENSION),--http-extension $(HTTP_EXTENSION)) $(if $(PG_NET),--pg-net $(PG_NET))

bench-soak:
	@test/bench/soak $(if $(ROWS),--rows $(ROWS)) $(if $(SEED),--seed $(SEED))

bench-attack:
	@test/bench/attack/run $(if $(SEED),--seed $(SEED))

charts:
	@cp build/bench.json build/soak.json doc/measured/
	@test/bench/charts.py doc/measured

test-clients:
	@test/run clients

test-browser:
	@test/run browser

test-oracle:
	@test/run oracle $(ORACLE_FLAGS)

SECONDS ?= 30
fuzz:
	@test/run fuzz $(SECONDS)

DIST = pnvs-$(shell sed -n 's/^   "version": "\(.*\)",$$/\1/p' META.json)
dist:
	git archive --format zip --prefix $(DIST)/ -o $(DIST).zip HEAD

lint:
	@test/run lint

indent:
	@test/lint/format --write


# The unit tests: src/core and nothing else, so that no PostgreSQL is needed.
# They are built apart from the module, with sanitizers.  The simulation of attacks is
# such code too.

UNIT_CFLAGS ?= -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_WARNINGS = -Wall -Wextra -Wmissing-prototypes
UNIT_SOURCES = $(wildcard test/unit/test_*.c)
UNIT_PROGRAMS = $(UNIT_SOURCES:test/unit/%.c=build/unit/%)
UNIT_OBJECTS = $(patsubst %.c,build/unit/%.o,$(wildcard src/core/*.c) \
	$(filter-out $(UNIT_SOURCES),$(wildcard test/unit/*.c)) \
	$(filter-out %/main.c,$(wildcard test/bench/attack/*.c)))
UNIT_VECTORS = build/unit/vectors.h
UNIT_SPELLINGS = build/unit/spellings.h
UNIT_HEADERS = $(wildcard src/core/*.h test/unit/*.h test/bench/attack/*.h) $(UNIT_VECTORS) $(UNIT_SPELLINGS)
UNIT_COMPILE = $(CC) -std=gnu99 $(UNIT_CFLAGS) $(UNIT_WARNINGS) $(COPT) -Isrc -Itest/unit -Itest/bench/attack -Ibuild/unit \
	$(shell $(PKG_CONFIG) --cflags libcrypto 2>/dev/null)

unit: $(UNIT_PROGRAMS)
	@test -n "$^" || { echo "no unit test in test/unit" >&2; exit 1; }
	prove $(PROVE_FLAGS) --exec '' $(sort $^)

$(UNIT_VECTORS): test/vectors/to_c.py $(wildcard test/vectors/*_v3.json)
$(UNIT_SPELLINGS): test/vectors/spellings_to_c.py test/vectors/spellings.json
$(UNIT_VECTORS) $(UNIT_SPELLINGS):
	@mkdir -p $(@D)
	python3 -B $^ $@

$(UNIT_OBJECTS): build/unit/%.o: %.c $(UNIT_HEADERS)
	@mkdir -p $(@D)
	$(UNIT_COMPILE) -c -o $@ $<

$(UNIT_PROGRAMS): build/unit/%: test/unit/%.c $(UNIT_OBJECTS) $(UNIT_HEADERS)
	@mkdir -p $(@D)
	$(UNIT_COMPILE) -o $@ $< $(UNIT_OBJECTS) $(shell $(PKG_CONFIG) --libs libcrypto 2>/dev/null || echo -lcrypto)
