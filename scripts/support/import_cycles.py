"""Finds pairs of Rust files that import each other: import_cycles.py FOLDER ALLOWED [DIAGRAM].

DIAGRAM is a file with lines such as `//! store ─► error, token`: the imports between the folders and
files right below FOLDER. They must be those of the code.
"""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
allowed_file = pathlib.Path(sys.argv[2])

IMPORT = re.compile(r"(?:(pub(?:\([^)]*\))?)\s+)?\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])((?:crate|super|self)(?:::\w+)+)")
MODULE = re.compile(r"\b(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*([;{])")


def without_comments_and_texts(code):
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.[^\']*|[^\'\\])\'', re.S
    )
    return pattern.sub(" ", code)


def end_of_block(code, start):
    depth = 0
    for at in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[at], 0)
        if depth == 0:
            return at + 1
    return len(code)


def without_tests(code):
    """Takes out what follows a `#[cfg(test)]` or `#[cfg(all(test, ..))]`, and names test modules in files."""
    files = set()
    marker = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]")
    while found := marker.search(code):
        rest = re.compile(r"[;{]").search(code, found.end())
        if not rest:
            break
        module = re.search(r"\bmod\s+(\w+)\s*;", code[found.end() : rest.end()])
        if module:
            files.add(module[1])
        end = rest.end() if rest[0] == ";" else end_of_block(code, rest.start())
        # `use a::{b, c};` has a block and goes on after it.
        if re.search(r"\buse\b", code[found.end() : rest.start()]):
            end = code.find(";", rest.start()) + 1
        code = code[: found.start()] + code[end:]
    return code, files


def leaves(tree):
    """The paths of `a::{b, c::*, d as e}`, each with the name that it gets here."""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        path, _, name = (part.strip() for part in tree.partition(" as "))
        segments = [segment.strip() for segment in path.split("::") if segment.strip()]
        if segments and segments[-1] == "self":
            segments.pop()
        return [(segments, name or (segments[-1] if segments else ""))]
    prefix = [segment.strip() for segment in tree[:brace].split("::") if segment.strip()]
    inside, depth, piece, pieces = tree[brace + 1 : tree.rfind("}")], 0, "", []
    for letter in inside:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            pieces.append(piece)
            piece = ""
        else:
            piece += letter
    pieces.append(piece)
    return [
        (prefix + segments, name or prefix[-1])
        for piece in pieces
        if piece.strip()
        for segments, name in leaves(piece)
    ]


def module_of(file):
    parts = list(file.relative_to(root).with_suffix("").parts)
    if parts[-1] in ("mod", "lib"):
        parts.pop()
    return tuple(parts)


sources, tests = {}, set()
for file in sorted(root.rglob("*.rs")):
    code, test_files = without_tests(without_comments_and_texts(file.read_text()))
    sources[module_of(file)] = (file, code)
    tests |= {module_of(file) + (name,) for name in test_files}
sources = {
    module: source
    for module, source in sources.items()
    if not any(module[: len(test)] == test for test in tests)
}

imports, exports = {}, {}  # module -> [(path, name)], module -> {name: path}


def absolute(module, segments):
    """The path from the crate's root, or None for another crate's."""
    at = list(module)
    if segments[0] == "crate":
        at, segments = [], segments[1:]
    elif segments[0] in ("self", "super"):
        while segments and segments[0] in ("self", "super"):
            if segments[0] == "super":
                at = at[:-1]
            segments = segments[1:]
    elif tuple(at) + (segments[0],) not in sources:
        return None
    return tuple(at) + tuple(segments)


def read(module, code):
    # Modules within the file: their paths count from one level below.
    while found := re.compile(r"\bmod\s+(\w+)\s*\{").search(code):
        end = end_of_block(code, found.end() - 1)
        inner = code[found.end() : end - 1]
        code = code[: found.start()] + code[end:]
        read_level(module, module + (found[1],), inner)
    read_level(module, module, code)


def read_level(file_module, level, code):
    for public, tree in IMPORT.findall(code):
        for segments, name in leaves(tree):
            path = absolute(level, segments) if segments else None
            if path is None:
                continue
            imports.setdefault(file_module, []).append(path)
            if public and level == file_module:
                exports.setdefault(level, {})[name] = path
    for found in PATH.findall(IMPORT.sub(" ", code)):
        path = absolute(level, found.split("::"))
        if path is not None:
            imports.setdefault(file_module, []).append(path)


for module, (_, code) in sources.items():
    read(module, code)


def home(path, seen=()):
    """The module whose file has the item of this path."""
    module = path
    while module and module not in sources:
        module = module[:-1]
    rest = path[len(module) :]
    exported = exports.get(module, {})
    if rest and rest[0] in exported and path not in seen:
        return home(exported[rest[0]] + rest[1:], (*seen, path))
    if rest and "*" in exported and rest[0] != "*" and path not in seen:
        below = exported["*"][:-1]
        if re.search(rf"\b(?:fn|struct|enum|trait|type|const|static|macro_rules!)\s+{rest[0]}\b", sources.get(below, ("", ""))[1]):
            return home(below + rest, (*seen, path))
    return module


edges = {
    (module, target)
    for module, paths in imports.items()
    for target in {home(path) for path in paths}
    if target != module
}


def folder_and_child(one, other):
    return one == other[: len(one)] or other == one[: len(other)]


found = {
    " ".join(sorted(str(sources[side][0]) for side in (one, other)))
    for one, other in edges
    if (other, one) in edges and not folder_and_child(one, other)
}
lines = allowed_file.read_text().splitlines() if allowed_file.exists() else []
allowed = {line.strip() for line in lines if line.strip() and not line.startswith("#")}

for pair in sorted(found):
    print(f"    {'known' if pair in allowed else 'NEW'}: {pair.replace(' ', ' and ')} import each other")
for pair in sorted(allowed - found):
    print(f"    parted, take it off {allowed_file}: {pair}")
print(f"    {len(sources)} files, {len(edges)} imports, {len(found)} pairs that import each other")


def unit(module):
    return module[0] if module else "the crate's root"


def drawn(file):
    """The arrows of the diagram."""
    for line in file.read_text().splitlines():
        if arrow := re.fullmatch(r"//!\s+(\w+)\s+─►\s+([\w, ]+)", line):
            for target in arrow[2].split(","):
                yield arrow[1], target.strip()


wrong = False
if len(sys.argv) > 3:
    # The root only re-exports, and what is fuzzed is no part of a program.
    arrows = {
        (unit(one), unit(other))
        for one, other in edges
        if unit(one) != unit(other) and one and other and unit(one) != "fuzzing"
    }
    diagram = set(drawn(pathlib.Path(sys.argv[3])))
    for one, other in sorted(arrows - diagram):
        print(f"    NOT DRAWN in {sys.argv[3]}: {one} ─► {other}")
    for one, other in sorted(diagram - arrows):
        print(f"    NOT IN THE CODE, and drawn in {sys.argv[3]}: {one} ─► {other}")
    wrong = arrows != diagram
    print(f"    {len({unit(module) for module in sources} - {unit(())})} folders and single files, {len(arrows)} arrows between them")
sys.exit(1 if wrong or found - allowed else 0)
