"""Counts the words of scripts/words.list, see scripts/words."""

import collections
import pathlib
import re
import subprocess
import sys

WHERE = ["src", "examples", "tests", "benches", "cli", "fuzz", "README.md", "CONTRIBUTING.md"]
LIST = pathlib.Path("scripts/words.list")
ALLOWED = pathlib.Path("scripts/words.allowed")
# Standard terms, and names of others, that hold one of the words.
STANDARD = re.compile(
    r"proof key for code exchange|code exchange|token exchange|RFC 8693|exchange_code|"
    r"exchange_refresh_token|std::iter::repeat|\.repeat\(|compare_exchange(_weak)?|"
    r"[\"'][^\"']*\.repeat",
    re.I,
)
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
DECLARED = re.compile(r"\b(?:fn|struct|enum|union|trait|type|const|static|mod)\s+(\w+)")
COMMENT = re.compile(r"//[/!]?(.*)")


def rows(path):
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.split("\t")


RULES = [
    (how, pattern, re.compile(rf"(?<![\w])(?:{pattern})(?![\w])", re.I if how != "name" else 0), say)
    for how, pattern, say in rows(LIST)
]


def lines_of(file):
    """Each line as (all of it split in words, its prose, the names that it declares)."""
    markdown = file.suffix == ".md"
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        line = STANDARD.sub(" ", line)
        comment = COMMENT.search(line)
        prose = line if markdown else comment[1] if comment else ""
        names = [] if markdown else DECLARED.findall(COMMENT.sub("", line))
        yield number, " ".join(PARTS.findall(line)), prose, names


def files():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *WHERE],
        capture_output=True, text=True, check=True,
    ).stdout.split("\n")
    for name in listed:
        file = pathlib.Path(name)
        if file.suffix in (".rs", ".md") and file.exists():
            yield file


def folder(file):
    """What the counts are kept for: the folder, one level below src/."""
    parts = file.parts
    return "/".join(parts[: 2 if parts[0] == "src" and len(parts) > 2 else 1])


counts, places = collections.Counter(), collections.defaultdict(list)
for file in files():
    for how, pattern, matcher, _ in RULES:
        if how == "name" and matcher.fullmatch(file.stem):
            counts[folder(file), pattern] += 1
            places[folder(file), pattern].append(str(file))
    for number, words, prose, names in lines_of(file):
        for how, pattern, matcher, _ in RULES:
            if how == "name":
                found = sum(bool(matcher.fullmatch(name)) for name in names)
            else:
                found = len(matcher.findall(words if how == "word" else prose))
            if found:
                counts[folder(file), pattern] += found
                places[folder(file), pattern].append(f"{file}:{number}")

option = sys.argv[1] if len(sys.argv) > 1 else ""
allowed = {}
if ALLOWED.exists():
    allowed = {(where, pattern): int(count) for count, where, pattern in rows(ALLOWED)}

if option == "--show":
    for (where, pattern), found in sorted(places.items()):
        if len(sys.argv) < 3 or re.search(sys.argv[2], pattern):
            print("\n".join(f"{place}: {pattern}" for place in found))
    sys.exit()
if option in ("--tighten", "--begin"):
    kept = counts if option == "--begin" else {
        key: min(count, counts[key]) for key, count in allowed.items() if counts[key]
    }
    with ALLOWED.open("w") as out:
        out.write("# How often a word of scripts/words.list still stands in a folder. Counts only fall, and this\n")
        out.write("# list has to become empty. `scripts/words --tighten` writes lower counts down.\n")
        for (where, pattern), count in sorted(kept.items()):
            out.write(f"{count}\t{where}\t{pattern}\n")
    sys.exit()

say = {pattern: instead for _, pattern, _, instead in RULES}
worse = {key: count for key, count in counts.items() if count > allowed.get(key, 0)}
for (where, pattern), count in sorted(worse.items()):
    print(f"    {where}: {count} × {pattern}, at most {allowed.get((where, pattern), 0)}; say: {say[pattern]}")
    for place in places[where, pattern][:5]:
        print(f"        {place}")
lower = sum(count > counts[key] for key, count in allowed.items())
print(f"    {sum(counts.values())} old words left, {len(worse)} new; {lower} counts may be tightened")
sys.exit(1 if worse else 0)
