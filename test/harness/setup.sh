#!/bin/bash
# setup.sh -- installs, by apt, what a target needs and this machine lacks.
#
#     setup.sh             compiler, server, test tools
#     setup.sh bench       and what the benchmark needs
#     setup.sh lint        only Python
#
# It prints nothing when nothing is missing, asks no question, and leaves the distribution's own
# clusters alone: none is created, started or stopped.

set -u
cd "$(dirname "$0")/../.."
log=build/log/setup.log
holdback=/etc/postgresql-common/createcluster.d/vecpg-setup.conf
oldest_server=15

as_root()
{
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The server's major version: of the one installed, else of the distribution's default.
server_version()
{
	local version
	version=$(ls -v /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tail -n 1 | cut -d/ -f5)
	if [ -z "$version" ]; then
		version=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
	fi
	echo "$version"
}

# Words that name what is missing; "server" is turned into packages after apt-get update.
missing()
{
	command -v python3 >/dev/null || echo python3
	[ "${1:-}" = lint ] && return
	[ "${1:-}" != bench ] || /usr/bin/python3 -c 'import numpy' 2>/dev/null || echo python3-numpy
	echo '#include <stdio.h>' | ${CC:-gcc} -E - >/dev/null 2>&1 || echo gcc libc6-dev
	command -v make >/dev/null || echo make
	command -v setpriv >/dev/null || echo util-linux
	perl -MTest::More -MFindBin -e 1 2>/dev/null || echo perl
	perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl
	pg_config=$(test/harness/pgconfig.sh) && [ -x "$("$pg_config" --bindir)/postgres" ] || echo server
}

# The package's default is to create and start a cluster "main" on installation.
hold_back_default_cluster()
{
	[ -e "$holdback" ] && return
	as_root mkdir -p "${holdback%/*}"
	echo 'create_main_cluster = false' | as_root tee "$holdback" >/dev/null
	trap 'as_root rm -f "$holdback"; as_root rmdir --ignore-fail-on-non-empty "${holdback%/*}"' EXIT
}

apt()
{
	as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8 \
		apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@" </dev/null >>"$log" 2>&1
}

give_up()
{
	echo "setup: $1" >&2
	[ -s "$log" ] && tail -n 20 "$log" >&2
	exit 1
}

packages=$(missing "$@" | tr '\n' ' ')
[ -n "$packages" ] || exit 0

mkdir -p "${log%/*}"
: >"$log"
command -v apt-get >/dev/null || give_up "missing: $packages(no apt here: install them, then run make again)"
[ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
	give_up "missing: $packages(neither root nor sudo: ask for them to be installed)"

echo "setup: looking up packages"
apt update || give_up "apt-get update failed"
case "$packages" in
	*server*)
		version=$(server_version)
		[ "${version:-0}" -ge "$oldest_server" ] || give_up "no PostgreSQL $oldest_server or newer in this distribution"
		# An installed server is not upgraded: that would restart its clusters.
		packages=${packages/server /}postgresql-server-dev-$version
		[ -x "/usr/lib/postgresql/$version/bin/postgres" ] || packages="$packages postgresql-$version"
		hold_back_default_cluster
		;;
esac
echo "setup: installing" $packages
apt install -y --no-install-recommends $packages || give_up "apt-get install failed"
left=$(missing "$@" | tr '\n' ' ')
[ -z "$left" ] || give_up "still missing after installation: $left"
