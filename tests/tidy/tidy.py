#!/usr/bin/env python3
"""Checks what the house rules say and no compiler does; one ctest test per check (label tidy).

  layers    who may include whom, and which file alone may include a third-party library
  sizes     lines of files, headers and functions
  words     words that must not occur
  tests     every header of src/ is reached by some test: included, or used by what it includes (foo.h stands for foo*.cc)
  weak      no weak symbols outside their own namespace in the objects of one instruction set (needs nm)
  text      files end with one newline, hold no tabs or blanks at line ends

usage: tidy.py CHECK SOURCE_DIR [BUILD_DIR].  Exceptions stand in exceptions.txt beside this file.
"""
import pathlib
import re
import subprocess
import sys

MAY_INCLUDE = {
    "base": set(),
    "tensor": {"base"},
    "parallel": {"base"},
    "io": {"base", "tensor"},
    "dist": {"base", "tensor"},
    "kernels": {"base", "tensor", "parallel"},
    "tokenizer": {"base", "io"},
    "model": {"base", "tensor", "parallel", "kernels", "io"},
    "engine": {"base", "tensor", "parallel", "kernels", "io", "model", "tokenizer"},
    "train": {"base", "tensor", "parallel", "kernels", "io", "model", "tokenizer", "engine"},
    "eval": {"base", "tensor", "parallel", "kernels", "io", "model", "tokenizer", "engine"},
    "server": {"base", "io", "tokenizer", "engine"},
    "load": {"base", "io"},
    "cli": {"base", "tensor", "parallel", "kernels", "io", "dist", "model", "tokenizer", "engine", "train", "eval",
            "server", "load"},
}
FILES_THAT_MAY_INCLUDE = {  # library header -> the adapter (a folder ends with /)
    "boost/": ["src/server/http_session.h", "src/server/http_session.cc", "src/server/http_server.cc",
               "src/server/http_head.cc", "src/server/http_reply.h", "src/load/http_stream.cc"],
    "nlohmann/": ["src/io/json.cc"],
    "pcre2": ["src/tokenizer/regex.cc"],
    "histedit": ["src/cli/line_editor.cc"],
    "editline": ["src/cli/line_editor.cc"],
    "CLI/": ["src/cli/"],
    "toml++/": ["src/io/toml.cc"],
    "lzma": ["src/io/packed_reader.cc", "tests/"],
    "zlib": ["src/io/packed_reader.cc", "tests/"],
    "zstd": ["src/io/packed_reader.cc", "tests/"],
    "gtest/": ["tests/", "_test.cc"],
}
LINES = {".cc": 400, ".h": 250}
LINES_HARD = 600
FUNCTION_LINES = 70
BANNED = [  # (pattern, where it is banned, what to do)
    (r"\bstd::endl\b", r".*", r"write '\n'"),
    (r"(?<![\w:])s?rand\(", r".*", "use the project's generators, which have a seed"),
    (r"\bFIXME\b|\bXXX\b|\bTODO\b", r".*", "do it or open an issue"),
    (r"^\s*using namespace\b", r".*\.h$", "name what is used"),
    (r"\bthrow\b", r"src/.*", "return a Result"),
    (r"\bgetenv\b", r"src/(?!cli/|kernels/dispatch\.cc).*(?<!_test\.cc)$", "pass it as an option"),
    (r"#include <iostream>|\bstd::(cout|cerr)\b|(?<![\w:])f?printf\(", r"src/.*(?<!_test\.cc)$",
     "the library returns or logs; commands use cli/output.h"),
    (r"-ffast-math|-Ofast", r".*", "results must not depend on the compiler's mood"),
    (r"\bsleep_for\b|\busleep\(", r"src/.*(?<!_test\.cc)$", "wait for an event"),
]


def sources(root, *suffixes):
    for top in ("src", "tests", "bench", "fuzz"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (suffixes or (".cc", ".h")) and path.is_file():
                yield path


def exceptions():
    """{(check, path)} from lines `check path  reason`."""
    found = {}
    for line in (pathlib.Path(__file__).parent / "exceptions.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            check, path, reason = line.split(None, 2)
            found[check, path] = reason
    return found


def without_comments_and_strings(text):
    """The text with comments and the insides of literals blanked, lines kept."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(match):
        word = match.group(0)
        if word.startswith("'") and match.start() and text[match.start() - 1].isalnum():
            return word  # a digit separator
        return re.sub(r"[^\n]", " ", word)

    return pattern.sub(blank, text)


def check_layers(root, _build):
    for path in sources(root):
        name = path.relative_to(root).as_posix()
        parts = name.split("/")
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not match:
                continue
            target = match.group(2)
            for library, adapters in FILES_THAT_MAY_INCLUDE.items():
                if target.startswith(library) and not any(
                        name.startswith(a) if a.endswith(("/", ".cc")) and not a.startswith("_") else name.endswith(a)
                        for a in adapters):
                    yield name, f"{name}:{number}: {target} may be included by {' '.join(adapters)} only"
            if match.group(1) != '"' or parts[0] != "src" or target.startswith("tests/"):
                continue
            folder, own = target.split("/")[0], parts[1]
            if folder != own and folder not in MAY_INCLUDE[own]:
                if not (own == "model" and target == "dist/comm.h"):
                    yield name, f"{name}:{number}: {own}/ may not include {target}"


def check_sizes(root, _build):
    for path in sources(root):
        name = path.relative_to(root).as_posix()
        lines = path.read_text().splitlines()
        # A kernel body is code that is compiled once for each instruction set, whatever its name ends with.
        limit = LINES[".cc" if path.name.endswith("_body.h") else path.suffix]
        if len(lines) > LINES_HARD:
            yield name + "!", f"{name}: {len(lines)} lines, the hard limit is {LINES_HARD}"
        elif len(lines) > limit:
            yield name, f"{name}: {len(lines)} lines, the limit is {limit}"
        # A function's body ends at a brace in the column where its first line began (clang-format decides that).
        clean = without_comments_and_strings("\n".join(lines)).split("\n")
        begin = None
        for number, line in enumerate(clean, 1):
            if re.match(r"\S.*", line) and not re.match(r"[}#]|namespace|public|private|protected", line):
                begin = begin or number
                kind = line if begin == number else kind
            if line.startswith("}") and begin:
                # Rows of a table of constants are data.
                rows = [row for row in clean[begin - 1:number] if re.fullmatch(r"\s*\{.*\},", row)]
                length = number - begin + 1 - len(rows)
                is_function = not re.match(
                    r"(?:template.*)?(?:class|struct|union|enum|namespace|extern \"C\")\b|.*=\s*\{?$|.*\]\s*=", kind)
                if is_function and length > FUNCTION_LINES:
                    yield name, f"{name}:{begin}: a function of {length} lines, the limit is {FUNCTION_LINES}"
                begin = None
            elif begin and line.rstrip().endswith((";", "}")) and line[:1].strip():
                begin = None


def check_words(root, _build):
    for path in sources(root):
        name = path.relative_to(root).as_posix()
        text = path.read_text()
        clean = without_comments_and_strings(text).split("\n")
        for number, (line, bare) in enumerate(zip(text.split("\n"), clean), 1):
            for pattern, where, advice in BANNED:
                searched = line if "TODO" in pattern or "include" in pattern else bare
                match = re.search(pattern, searched)
                if match and re.fullmatch(where, name):
                    yield name, f"{name}:{number}: '{match.group(0).strip()}' is not used here: {advice}"


def implementations(root, name):
    """The header folder/foo_bar.h, its foo_bar.cc, and the foo_*.cc beside it that include it."""
    for top in (root / "src", root):
        header = top / name
        if header.is_file():
            yield header
            for path in header.parent.glob(header.stem.split("_")[0] + "*.cc"):
                if not path.name.endswith("_test.cc") and (path.stem == header.stem or f'"{name}"' in path.read_text()):
                    yield path


def check_tests(root, _build):
    included, open_files = set(), []
    for path in (root / "tests/e2e").glob("*_test.cc"):  # e2e/score_test.cc runs the command of cli/score.cc
        open_files += [p for p in [root / "src/cli" / path.name.replace("_test.cc", ".cc")] if p.is_file()]
    for path in sources(root, ".cc"):
        if path.name.endswith("_test.cc") or path.is_relative_to(root / "tests"):
            open_files.append(path)
    while open_files:
        for name in re.findall(r'#include "([^"]+\.h)"', open_files.pop().read_text()):
            if name not in included:
                included.add(name)
                open_files += implementations(root, name)
    for path in sources(root, ".h"):
        name = path.relative_to(root).as_posix()
        if name.startswith("src/") and not re.search("/(x86|arm|simd)/", name) and name[4:] not in included:
            yield name, f"{name}: no test includes it"


def check_text(root, _build):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=False).stdout
    for name in filter(None, listed.decode().split("\0")):
        path = root / name
        if not path.is_file() or not (path.suffix in (".cc", ".h", ".cmake", ".md", ".py", ".txt", ".sh")):
            continue
        if name.startswith("testdata/"):
            continue
        text = path.read_text()
        if not text.endswith("\n") or text.endswith("\n\n"):
            yield name, f"{name}: must end with one newline"
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield name, f"{name}:{number}: blanks at the end of the line"
            if "\t" in line:
                yield name, f"{name}:{number}: a tab"


def check_weak(root, build):
    names = re.compile(r"_(avx2|avx512|amx|neon|dotprod)\.cc")
    objects = sorted(path for path in build.glob("src/CMakeFiles/fathom_kernels.dir/**/*.o") if names.search(path.name))
    if not objects:
        print("skipped: no objects of one instruction set here")
        sys.exit(77)
    for path in objects:
        isa = names.search(path.name).group(1)
        symbols = subprocess.run(["nm", "-C", "--defined-only", str(path)], capture_output=True, text=True, check=True)
        for line in symbols.stdout.splitlines():
            match = re.match(r"[0-9a-f]+ ([WVu]) (.*)", line)
            # A weak symbol that bears the set's name cannot stand in for another set's at link time; DW.ref is the
            # address of the runtime's own function, in every object alike.
            if match and f"{isa}::" not in match.group(2) and not match.group(2).startswith("DW.ref."):
                yield path.name, f"{path.name}: weak symbol {match.group(2)}: it could replace a baseline function"


def main():
    check, root = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    build = pathlib.Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else None
    excused = exceptions()
    used, failures = set(), 0
    for path, message in globals()["check_" + check](root, build):
        if (check, path) in excused:
            used.add((check, path))
        else:
            print(message)
            failures += 1
    for key in excused:
        if key[0] == check and key not in used and check != "weak":
            print(f"exceptions.txt: {' '.join(key)} is not needed any more: remove it")
            failures += 1
    print(f"tidy {check}: {failures} failures, {len(used)} exceptions")
    sys.exit(1 if failures else 0)


main()
