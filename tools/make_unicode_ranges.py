#!/usr/bin/env python3
"""Writes src/tokenizer/unicode_ranges.cc: the character classes that the pre-tokenizer's patterns ask for.

The reference (Hugging Face tokenizers 0.23.3, its Oniguruma) knows Unicode 16.0.0: another version would cut
text elsewhere, so this script takes no other. Python 3.14 has it; for others: pip install unicodedata2==16.0.0.

    tools/make_unicode_ranges.py > src/tokenizer/unicode_ranges.cc
"""
import sys

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

VERSION = "16.0.0"
OTHER, LETTER, MARK, NUMBER, PUNCTUATION, SPACE = range(6)
BY_CATEGORY = {"L": LETTER, "M": MARK, "N": NUMBER, "P": PUNCTUATION, "S": PUNCTUATION, "Z": SPACE, "C": OTHER}


def char_class(code_point):
    # White_Space: the separators and seven control characters.
    if 0x9 <= code_point <= 0xD or code_point == 0x85:
        return SPACE
    return BY_CATEGORY[unicodedata.category(chr(code_point))[0]]


def main():
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"this Python knows Unicode {unicodedata.unidata_version}, needed is {VERSION}")
    starts, last = [], None
    for code_point in range(0x110000):
        now = char_class(code_point)
        if now != last:
            starts.append(code_point << 3 | now)
            last = now
    print("// Made by tools/make_unicode_ranges.py from Unicode %s; not for editing by hand." % VERSION)
    print("// Each entry begins a range: first code point << 3 | CharClass; it ends where the next begins.")
    print('#include "tokenizer/unicode_class.h"\n')
    print("namespace fathom {\n")
    print("const uint32_t kUnicodeRanges[] = {")
    for i in range(0, len(starts), 10):
        print("    " + " ".join("0x%x," % s for s in starts[i : i + 10]))
    print("};")
    print("const size_t kUnicodeRangesCount = sizeof kUnicodeRanges / sizeof kUnicodeRanges[0];\n")
    print("}  // namespace fathom")


main()
