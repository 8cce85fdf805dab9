#!/bin/bash
# bench.sh -- `make bench`: the benchmark on made rows, one server, settings of test/bench/server.py.
#
#     BENCH="--data mnist:mnist.npz ..." make bench     other arguments of test/bench/bench.py
#
# Not the harness's throw-away server: the loaded tables stay in build/bench for the next run.

set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT" || exit 1
. test/harness/build.sh

test/harness/setup.sh bench || exit 1
extension_install || exit 1
PATH=$("$PG_CONFIG" --bindir):$PATH
server=$ROOT/build/bench/server
port=54322
mkdir -p "$server"
trap '/usr/bin/python3 test/bench/server.py stop "$server"' EXIT
trap 'exit 130' INT TERM
/usr/bin/python3 test/bench/server.py start "$server" --port $port || exit 1
# Arguments contain blanks within quotes, so they are read as the shell would.
eval "set -- ${BENCH:---made 100000 --index 'ivf (embedding vector_l2_ops)' --effort default vecpg.target_recall=0.9 vecpg.target_recall=0.99}"
/usr/bin/python3 test/bench/bench.py --dsn "host=$server port=$port user=postgres dbname=bench" "$@"
