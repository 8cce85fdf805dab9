# targets.mk -- the developer's targets; CONTRIBUTING.md has the table. Included by the Makefile.
#
# Each works on a machine without PostgreSQL: the scripts install what is missing and find pg_config
# themselves. A PG_CONFIG given to make, or found by the Makefile, is passed on.

HARNESS = test/harness

.DEFAULT_GOAL := all
.PHONY: all install installcheck unit dev demo test lint format asan bench help

export PG_CONFIG

demo:
	@test/demo/demo.sh

test:
	@$(HARNESS)/test.sh

dev:
	@$(HARNESS)/dev.sh

unit:
	@$(MAKE) -C test/unit check

lint:
	@$(HARNESS)/setup.sh lint
	@python3 test/lint/lint.py

asan:
	@$(HARNESS)/asan.sh

bench:
	@$(HARNESS)/bench.sh

# clang-format is a convenience, not a requirement: nothing checks for it.
format:
	@if command -v clang-format >/dev/null; then \
		clang-format -i $$(find src test -name '*.[ch]'); \
	else \
		echo "clang-format is not installed"; \
	fi

help:
	@sed -n 's/^| `\(make [a-z]*\)[^|]*` | \(.*\) |$$/\1|\2/p' CONTRIBUTING.md | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

ifeq ($(PGXS),)
all install installcheck:
	@echo "vecpg: no pg_config with PGXS found (Debian: postgresql-server-dev-NN)." >&2
	@echo "Install it, give its path as PG_CONFIG=..., or let 'make test' or 'make demo' do so." >&2
	@exit 1
endif
