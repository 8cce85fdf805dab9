#!/usr/bin/env python3
# lint.py -- checks the rules of the house that a compiler does not know.
#
# Not a style checker: layout is clang-format's (`make format`). Each rule is a function that yields
# findings; adding one to RULES adds it to `make lint`. The rank table is src/README's, the options
# are src/pg/options.def's: no list of rooms or options is repeated here.

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SELF = "test/lint/lint.py"
MAX_LINES = 750             # of a C file or header: what does not fit has two responsibilities
MAX_COLUMNS = 120           # the style aims at 100; this catches the lines nobody looked at
RULES = []


def rule(function):
    RULES.append(function)
    return function


# ---- what is checked ----------------------------------------------------------------------------

def list_files():
    """The files that git tracks or would track; without git, every file outside build/."""
    git = ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-co", "--exclude-standard"]
    try:
        names = subprocess.run(git, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               universal_newlines=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in (".git", "build", "results", "__pycache__")]
            names += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return sorted(n for n in names if n and os.path.isfile(os.path.join(ROOT, n)))


class Tree:
    """Every text file of the checkout as {path: lines}."""

    def __init__(self):
        self.text = {}
        for name in list_files():
            with open(os.path.join(ROOT, name), "rb") as file:
                data = file.read()
            if b"\0" in data or name.endswith((".o", ".so", ".d", ".gz")):
                continue
            self.text[name] = data.decode("utf-8", "replace").split("\n")

    def files(self, prefix="", *suffixes):
        for name, lines in self.text.items():
            if name.startswith(prefix) and (not suffixes or name.endswith(suffixes)):
                yield name, lines

    def grep(self, pattern, prefix="", *suffixes, flags=0):
        regex = re.compile(pattern, flags)
        for name, lines in self.files(prefix, *suffixes):
            for number, line in enumerate(lines, 1):
                match = regex.search(line)
                if match:
                    yield name, number, match


def ranks(tree):
    """({room: rank}, rooms below the line) from the table in src/README."""
    table, pure, below = {}, set(), False
    for line in tree.text["src/README"]:
        match = re.match(r"^ {4,6}(\d+) (\S+)$", line)
        if match:
            table[match.group(2)] = int(match.group(1))
            if below:
                pure.add(match.group(2))
        elif line.startswith("    -- "):
            below = True
    return table, pure


def room_of(path, rooms):
    """The room a path relative to src/ lies in: the longest that fits."""
    fitting = [room for room in rooms if path == room or path.startswith(room + "/")]
    return max(fitting, key=len, default=None)


def without_comments(lines):
    """The lines with comments and string literals blanked, line numbers kept."""
    text = "\n".join(lines)

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S).split("\n")


# ---- rules: rooms -------------------------------------------------------------------------------

@rule
def rank_table_names_every_folder(tree):
    table, pure = ranks(tree)
    if not table or not pure:
        yield "src/README", 1, "no rank table found"
    for name, _ in tree.files("src/", ".c", ".h"):
        if room_of(name[4:], table) is None:
            yield name, 1, "lies in no room of the rank table"


@rule
def includes_go_down(tree):
    table, _ = ranks(tree)
    top = max(table.values())
    for name, lines in tree.files("src/", ".c", ".h", ".def"):
        room = room_of(name[4:], table)
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            target = match and room_of(match.group(1), table)
            if not target or not room or target == room or table[room] == top:
                continue
            if table[target] >= table[room]:
                yield name, number, "room %s (rank %d) includes room %s (rank %d)" % (
                    room, table[room], target, table[target])


@rule
def pure_rooms_see_no_server_header(tree):
    table, pure = ranks(tree)
    for name, lines in tree.files("src/", ".c", ".h", ".def"):
        if room_of(name[4:], table) not in pure:
            continue
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)', line)
            if not match:
                continue
            if match.group(1) == '"' and room_of(match.group(2), table) not in pure:
                yield name, number, 'includes "%s" below the line' % match.group(2)
            if match.group(1) == "<" and re.match(r"postgres|server/|libpq|utils/|storage/", match.group(2)):
                yield name, number, "includes a server header below the line"


@rule
def server_files_begin_with_postgres_h(tree):
    table, pure = ranks(tree)
    for name, lines in tree.files("src/", ".c"):
        if room_of(name[4:], table) in pure:
            continue
        first = next((i for i, line in enumerate(lines) if line.startswith("#include")), None)
        if first is None or '"postgres.h"' not in lines[first]:
            yield name, (first or 0) + 1, 'first include is not "postgres.h"'


def only_in(tree, pattern, home, what, prefix="src/"):
    """Findings for code that matches outside the files whose path begins with home."""
    regex = re.compile(pattern)
    for name, lines in tree.files(prefix, ".c", ".h", ".def"):
        if name.startswith(home):
            continue
        for number, line in enumerate(without_comments(lines), 1):
            if regex.search(line):
                yield name, number, "%s belongs in %s" % (what, " or ".join(home))


@rule
def server_version_only_in_compat_h(tree):
    yield from only_in(tree, r"\bPG_VERSION_NUM\b", ("src/pg/compat.h",), "PG_VERSION_NUM")


@rule
def cpu_intrinsics_only_in_simd(tree):
    yield from only_in(tree, r"\b_mm\d*_|\b__m(128|256|512)|\b(imm|arm_)\w*intrin|arm_neon|\b__builtin_(cpu|ia32)_",
                       ("src/simd/",), "an instruction of one CPU")


@rule
def page_changes_only_in_store(tree):
    yield from only_in(tree, r"\bMarkBufferDirty\b|\bGenericXLog\w+|\blog_newpage\w*", ("src/store/",), "a page change")


@rule
def openmp_only_in_par(tree):
    yield from only_in(tree, r"#\s*pragma\s+omp\b|\bomp_\w+\(|<omp\.h>", ("src/math/par.",), "OpenMP")


# ---- rules: code --------------------------------------------------------------------------------

UNSAFE = r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|atoi|atof|strncpy)\s*\("
C_HEAP = r"(?<![\w>.])(malloc|calloc|realloc|free|printf|fprintf|exit|abort)\s*\("


@rule
def no_unsafe_calls(tree):
    for name, lines in tree.files("", ".c", ".h"):
        for number, line in enumerate(without_comments(lines), 1):
            match = re.search(UNSAFE, line)
            if match:
                yield name, number, "calls %s" % match.group(1)


@rule
def server_rooms_use_server_memory(tree):
    table, pure = ranks(tree)
    for name, lines in tree.files("src/", ".c", ".h"):
        if room_of(name[4:], table) in pure:
            continue
        for number, line in enumerate(without_comments(lines), 1):
            match = re.search(C_HEAP, line)
            # Before 16 the server itself frees a setting's extra with free().
            if match and "vecpg_guc_malloc" not in line:
                yield name, number, "calls %s in a server room" % match.group(1)


@rule
def files_open_with_their_name(tree):
    for name, lines in tree.files("", ".c", ".h", ".def"):
        opening = " * %s -- " % os.path.basename(name)
        if len(lines) < 3 or lines[0] != "/*" or not lines[1].startswith(opening):
            yield name, 1, 'does not open with "/*" and "%s"' % opening


@rule
def scripts_open_with_their_name(tree):
    for name, lines in tree.files("test/", ".sh", ".py", ".awk", ".pl"):
        if not any(os.path.basename(name) + " -- " in line for line in lines[:3]):
            yield name, 1, 'no "%s -- " within its first three lines' % os.path.basename(name)


@rule
def files_are_of_readable_size(tree):
    for name, lines in tree.files("", ".c", ".h"):
        if len(lines) - 1 >= MAX_LINES:
            yield name, len(lines) - 1, "has %d lines or more" % MAX_LINES
        for number, line in enumerate(lines, 1):
            if len(line.expandtabs(4)) > MAX_COLUMNS:
                yield name, number, "is wider than %d columns" % MAX_COLUMNS


@rule
def lines_are_clean(tree):
    for name, lines in tree.files():
        if name.startswith(("expected/", "test/isolation/expected/")):
            continue
        for number, line in enumerate(lines, 1):
            if line.endswith((" ", "\t", "\r")):
                yield name, number, "ends with white space"
        if lines[-1] != "" and lines != [""]:
            yield name, len(lines), "has no newline at its end"


# Each word is split here so that this file does not find itself.
UNFINISHED = r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|(?i:\b(stu" r"b|place" r"holder)s?\b)"
MACHINE_PATH = r"(?<![\w.$}])/(wo" r"rk|tm" r"p|home|root|mnt|opt)/"
HOSTS = (r"\b(deb\.debian\.org|snapshot\.debian\.org|pypi\.org|pythonhosted\.org|npmjs\.org|crates\.io|"
         r"proxy\.golang\.org|hub\.docker\.com)\b")


@rule
def nothing_is_unfinished(tree):
    for name, number, match in tree.grep(UNFINISHED):
        yield name, number, 'says "%s"' % match.group(0)


@rule
def no_path_or_host_of_one_machine(tree):
    for pattern in (MACHINE_PATH, HOSTS):
        for name, number, match in tree.grep(pattern):
            if name != SELF:
                yield name, number, 'names "%s"' % match.group(0)


# ---- rules: lists that must agree ---------------------------------------------------------------

@rule
def options_are_documented(tree):
    readme = "\n".join(tree.text.get("README.md", []))
    found = 0
    for name, lines in tree.files("src/pg/options.def"):
        for number, line in enumerate(lines, 1):
            match = re.match(r'(GUC|REL)_\w+\s*\([^"]*"([^"]+)"', line)
            if match:
                found += 1
                if "`%s`" % match.group(2) not in readme:
                    yield name, number, "option %s is not in README.md" % match.group(2)
    if not found:
        yield "src/pg/options.def", 1, "no option row found"


@rule
def functions_are_documented(tree):
    readme = "\n".join(tree.text.get("README.md", []))
    for name, number, match in tree.grep(r"^CREATE FUNCTION (vecpg_\w+)\s*\((?!internal\))", "src/", ".sql"):
        if "`%s(" % match.group(1) not in readme and not match.group(1).endswith("_support"):
            yield name, number, "function %s is not in README.md" % match.group(1)


def answered(tree, inputs, answers, suffix):
    """Findings for test inputs without an expected answer, and for answers without an input."""
    tests = {os.path.basename(n)[:-len(suffix)] for n, _ in tree.files(inputs, suffix)}
    outs = {os.path.basename(n)[:-len(".out")] for n, _ in tree.files(answers, ".out")}
    for test in sorted(tests - outs):
        yield inputs + test + suffix, 1, "has no %s%s.out" % (answers, test)
    for out in sorted(outs - tests):
        if re.sub(r"_\d$", "", out) not in tests:
            yield answers + out + ".out", 1, "has no %s%s%s" % (inputs, out, suffix)


@rule
def every_test_has_its_answer(tree):
    yield from answered(tree, "sql/", "expected/", ".sql")
    yield from answered(tree, "test/isolation/specs/", "test/isolation/expected/", ".spec")


@rule
def every_sql_part_is_in_the_makefile(tree):
    makefile = "\n".join(tree.text["Makefile"])
    for name, _ in tree.files("src/", ".sql"):
        if name not in makefile:
            yield name, 1, "is not in SQL_PARTS of the Makefile"


@rule
def versions_agree(tree):
    def first(name, pattern):
        return next((m.group(1) for m in map(re.compile(pattern).match, tree.text.get(name, [])) if m), None)
    version = first("Makefile", r"EXTVERSION\s*=\s*(\S+)")
    if first("vecpg.control", r"default_version = '(.*)'") != version:
        yield "vecpg.control", 1, "default_version is not the Makefile's %s" % version
    if first("CHANGELOG.md", r"## (\d\S*)") != version:
        yield "CHANGELOG.md", 1, "the newest entry is not %s" % version


@rule
def targets_are_documented(tree):
    contributing = "\n".join(tree.text.get("CONTRIBUTING.md", []))
    for line in tree.text["test/targets.mk"]:
        for target in re.findall(r"[a-z]+", line[8:]) if line.startswith(".PHONY:") else []:
            if "`make %s`" % target not in contributing:
                yield "CONTRIBUTING.md", 1, "target %s is not in the table" % target


def main():
    tree = Tree()
    failed = 0
    for check in RULES:
        findings = sorted(set(check(tree)))
        failed += bool(findings)
        print("%-6s %s" % ("FAILED" if findings else "ok", check.__name__.replace("_", " ")))
        for name, number, text in findings:
            print("       %s:%d: %s" % (name, number, text))
    print("%d passed, %d failed" % (len(RULES) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
