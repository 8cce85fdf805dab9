# vecpg: PGXS build. The rooms, in the order of their rank (src/README), give the objects;
# SQL_PARTS gives the extension script. `make help` lists the targets (CONTRIBUTING.md).

EXTENSION   = vecpg
EXTVERSION  = 0.1.0
MODULE_big  = vecpg

ROOMS       = base simd math quant graph pg types store index am/ivf am/hnsw planner inspect
SRCS        = $(sort $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.c))) src/mod.c
OBJS        = $(SRCS:.c=.o)

# The order is the dependency order: a part uses only objects of earlier parts.
SQL_PARTS   = src/first.sql src/pg/options.sql src/types/vector.sql src/index/vindex.sql \
              src/am/ivf/ivf.sql src/am/hnsw/hnsw.sql src/inspect/inspect.sql
DATA_built  = sql/$(EXTENSION)--$(EXTVERSION).sql

REGRESS      = $(patsubst sql/%.sql,%,$(filter-out sql/$(EXTENSION)--%,$(sort $(wildcard sql/*.sql))))
REGRESS_OPTS = --load-extension=$(EXTENSION) --encoding=UTF8 --no-locale

PG_CPPFLAGS = -Isrc -MMD -MP
PG_CFLAGS   = -std=gnu99 -Werror=implicit-function-declaration -fvisibility=hidden -fno-math-errno
# Threads of index builds (src/math/par.h); `make OPENMP=` builds without them.
OPENMP      = -fopenmp
SHLIB_LINK  = -lm $(OPENMP)
EXTRA_CLEAN = sql/$(EXTENSION)--$(EXTVERSION).sql $(SRCS:.c=.d)

# The server's JIT has nothing to inline here, and bitcode would make clang a build dependency.
override with_llvm := no

# Without a server's build files the targets that install them still work (test/targets.mk).
PG_CONFIG  := $(shell PG_CONFIG='$(PG_CONFIG)' test/harness/pgconfig.sh)
PGXS       := $(if $(PG_CONFIG),$(shell $(PG_CONFIG) --pgxs))
ifneq ($(PGXS),)
include $(PGXS)
endif
-include $(SRCS:.c=.d)

include src/simd/flags.mk

# OpenMP lives behind one wrapper (src/math/par.h).
src/math/par.o: CFLAGS += $(OPENMP)
src/math/%.o src/quant/%.o src/graph/%.o src/am/ivf/%.o src/am/hnsw/%.o: CFLAGS += -O3
# Distances have the same bits on every CPU only if no compiler contracts a * b + c.
src/graph/%.o: CFLAGS += -ffp-contract=off

sql/$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS) Makefile
	cat $(SQL_PARTS) > $@

include test/targets.mk
