#!/usr/bin/env python3
# load.py -- writes the package data set as rows for COPY: id, name, section, description, embedding.
#
# Not the maker of the data (make_packages.py). It uses nothing outside Python's own library, because
# `make demo` runs it on machines where only that is installed:
#
#     python3 test/data/load.py [FOLDER] | psql -c "COPY packages FROM STDIN"
#
# There are only 65,536 half-precision numbers, so each is formatted once and looked up afterwards.

import array
import gzip
import os
import struct
import sys

DIMENSIONS = 384


class Texts(dict):
    """Half-precision bit pattern -> its shortest text that reads back as the same half."""

    def __missing__(self, bits):
        # 5 digits tell any two halves apart (11 significant bits).
        text = self[bits] = "%.5g" % struct.unpack("<e", struct.pack("<H", bits))
        return text


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    texts = Texts()
    out = sys.stdout.buffer
    with gzip.open(os.path.join(folder, "packages.tsv.gz")) as rows, \
            open(os.path.join(folder, "packages.f16"), "rb") as vectors:
        for number, row in enumerate(rows, 1):
            vector = array.array("H", vectors.read(DIMENSIONS * 2))
            if len(vector) != DIMENSIONS:
                sys.exit("packages.f16 ends before packages.tsv.gz")
            if sys.byteorder == "big":
                vector.byteswap()
            values = ",".join([texts[bits] for bits in vector])
            out.write(b"%d\t%s\t[%s]\n" % (number, row.rstrip(b"\n"), values.encode()))


if __name__ == "__main__":
    main()
