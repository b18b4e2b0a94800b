#!/usr/bin/env python3
"""Writes src/tokenizer/jinja_unicode_data.cc: what Python's str methods know about characters beyond ASCII.

Usage: tools/jinja_unicode.py > src/tokenizer/jinja_unicode_data.cc
"""
import unicodedata


def ranges(predicate):
    out, first = [], None
    for code in range(0x80, 0x110001):
        yes = code < 0x110000 and predicate(chr(code))
        if yes and first is None:
            first = code
        if not yes and first is not None:
            out.append((first, code - 1))
            first = None
    return out


def characters():
    return (c for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000)


def case_ranges(convert):
    """Runs (first, last, stride, delta) of characters whose image is one character at a fixed distance."""
    points = [(c, ord(convert(chr(c))) - c) for c in characters()
              if len(convert(chr(c))) == 1 and convert(chr(c)) != chr(c)]
    out, i = [], 0
    while i < len(points):
        code, delta = points[i]
        j, stride = i, 1
        if i + 1 < len(points) and points[i + 1][1] == delta and points[i + 1][0] - code <= 2:
            stride = points[i + 1][0] - code
            while j + 1 < len(points) and points[j + 1] == (points[j][0] + stride, delta):
                j += 1
        out.append((code, points[j][0], stride, delta))
        i = j + 1
    return out


def emit(name, kind, rows):
    print(f"std::span<const {kind}> {name}() {{")
    print(f"  static constexpr {kind} kRows[] = {{")
    line = "     "
    for row in rows:
        item = " {" + ", ".join(str(x) for x in row) + "},"
        if len(line) + len(item) > 118:
            print(line)
            line = "     "
        line += item
    print(line + "\n  };\n  return kRows;\n}\n")


def expansions(convert):
    return [(c, '"' + "".join("\\x%02x" % b for b in convert(chr(c)).encode()) + '"') for c in characters()
            if len(convert(chr(c))) > 1]


print(f"// Written by tools/jinja_unicode.py (Unicode {unicodedata.unidata_version}); do not edit.")
print('#include "tokenizer/jinja_unicode_data.h"\n')
print("namespace fathom::jinja {\n")
print("// clang-format off")
emit("upper_ranges", "CaseRange", case_ranges(str.upper))
emit("lower_ranges", "CaseRange", case_ranges(str.lower))
title = [c for c in characters() if len(chr(c).title()) == 1 and chr(c).title() != chr(c).upper()]
emit("title_ranges", "CaseRange", [(c, c, 1, ord(chr(c).title()) - c) for c in title])
emit("upper_expansions", "CaseExpansion", expansions(str.upper))
emit("lower_expansions", "CaseExpansion", expansions(str.lower))
emit("unprintable_ranges", "CodeRange", ranges(lambda c: not c.isprintable()))
emit("alpha_ranges", "CodeRange", ranges(str.isalpha))
emit("decimal_ranges", "CodeRange", ranges(str.isdecimal))
print("// clang-format on")
print("}  // namespace fathom::jinja")
