#!/usr/bin/python3
"""server.py -- starts and stops a private PostgreSQL server for the bench.

Not a test harness: the data directory stays, so that a loaded table serves many runs.

    server.py start DIR --port P [--socket DIR] [--set name=value ...]   (initdb if DIR is empty)
    server.py stop DIR
"""
import argparse
import os
import pwd
import subprocess
import sys

# Durability as in production; nothing in the background that would disturb a timed round.
SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "32GB",
    "checkpoint_timeout": "60min",
    "autovacuum": "off",
    "jit": "off",
    "max_connections": "50",
    "listen_addresses": "''",
}
OWNER = "postgres"      # the server refuses to run as root


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=("start", "stop"))
    parser.add_argument("dir", help="data directory; server.log lies in it")
    parser.add_argument("--port", type=int, default=5490)
    parser.add_argument("--socket", help="socket directory (default: the data directory)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    directory = os.path.abspath(args.dir)
    if args.verb == "stop":
        run("pg_ctl", "-D", directory, "-m", "fast", "-w", "stop")
    else:
        start(directory, args.port, os.path.abspath(args.socket or args.dir), args.set)


def start(directory, port, socket, changes):
    if not os.path.exists(os.path.join(directory, "PG_VERSION")):
        make_directory(directory)
        run("initdb", "-D", directory, "-U", OWNER, "--auth=trust", "--encoding=UTF8",
            "--no-locale", "--no-sync")
        with open(os.path.join(directory, "postgresql.conf"), "a") as conf:
            conf.write("include 'bench.conf'\n")
    settings = dict(SETTINGS)
    settings.update(change.split("=", 1) for change in changes)
    with open(os.path.join(directory, "bench.conf"), "w") as conf:
        conf.write(f"port = {port}\nunix_socket_directories = '{socket}'\n")
        conf.writelines(f"{name} = {value}\n" for name, value in settings.items())
    log = os.path.join(directory, "server.log")
    run("pg_ctl", "-D", directory, "-l", log, "-w", "-t", "300", "start")
    print(f"dsn: host={socket} port={port} user={OWNER}")


def make_directory(directory):
    os.makedirs(directory, exist_ok=True)
    if os.geteuid() == 0:
        owner = pwd.getpwnam(OWNER)
        os.chown(directory, owner.pw_uid, owner.pw_gid)


def run(program, *args):
    bindir = subprocess.check_output(["pg_config", "--bindir"], text=True).strip()
    command = [os.path.join(bindir, program), *args]
    if os.geteuid() == 0:
        command = ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--init-groups", *command]
    result = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if result.returncode != 0:
        sys.exit(f"{program} failed; see server.log in the data directory")


if __name__ == "__main__":
    main()
