"""The oldest Rust of each feature, as the README's table says it.

msrv.py check   refuses a version that is older than a dependency asks for, and pages that disagree
msrv.py newer   prints each feature that needs a newer Rust than the crate, and that version
"""

import json
import re
import subprocess
import sys
from pathlib import Path

LIBRARY, COMMAND = "tower-teamup-auth", "teamup-auth"
PAGES = ("README.md", "src/lib.rs")
errors = []


def version(text):
    return tuple(int(part) for part in (text.split(".") + ["0"])[:3])


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def claims(page, oldest):
    """What the table of a page says of each feature. No version means the crate's own."""
    lines = [line.removeprefix("//!").strip() for line in Path(page).read_text().splitlines()]
    start = lines.index("| feature | adds | MSRV |")
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        names, _, msrv = (cell.strip() for cell in line[1:-1].split("|"))
        for name in re.findall(r"`([\w-]+)`", names):
            if name in found:
                errors.append(f"{page}: {name} is in the table twice")
            found[name] = msrv or oldest
    # The sentence above the table names the version of the rest.
    above = next(line for line in reversed(lines[:start]) if re.search(r"Rust \d", line))
    if (said := re.search(r"Rust (\d+\.\d+)", above)[1]) != oldest:
        errors.append(f"{page}: {said} where the table names no version; Cargo.toml says {oldest}")
    return found


def comments():
    """What the comments above the features in Cargo.toml say."""
    said = None
    for line in Path("Cargo.toml").read_text().split("[features]\n")[1].split("\n[")[0].splitlines():
        if line.startswith("#"):
            said = re.search(r"[Nn]eeds Rust (\d+\.\d+)", line) or said
        elif name := re.match(r"([\w-]+) = ", line):
            if said:
                yield name[1], said[1]
            said = None


def needed(package, *arguments):
    """The newest Rust that a dependency asks for, on any platform, and which one does."""
    tree = cargo(
        *("tree", "--locked", "--package", package, "--edges", "normal,build", "--target", "all"),
        *("--prefix", "none", "--format", "{p}", *arguments),
    )
    names = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    asks = ((asked[name], name) for name in names if asked.get(name))
    newest, (name, _) = max(asks, key=lambda ask: version(ask[0]))
    return newest, name


packages = json.loads(cargo("metadata", "--locked", "--format-version", "1"))["packages"]
asked = {(package["name"], f"v{package['version']}"): package["rust_version"] for package in packages}
own = {package["name"]: package for package in packages if package["source"] is None}
oldest = own[LIBRARY]["rust_version"]
tables = {page: claims(page, oldest) for page in PAGES}
table = tables[PAGES[0]]

if sys.argv[1:] == ["newer"]:
    for name, msrv in table.items():
        if version(msrv) > version(oldest):
            print(name, msrv)
    sys.exit()
if sys.argv[1:] != ["check"]:
    sys.exit(__doc__)

features = set(own[LIBRARY]["features"]) - {"default"}
for page, found in tables.items():
    for name in sorted(features - found.keys()):
        errors.append(f"{page}: the table has no row for {name}")
    for name in sorted(found.keys() - features):
        errors.append(f"{page}: there is no feature {name}")
    for name in sorted(features & found.keys() & table.keys()):
        if found[name] != table[name]:
            errors.append(f"{name}: {found[name]} in {page}, {table[name]} in {PAGES[0]}")
for name, said in comments():
    if said != table.get(name):
        errors.append(f"{name}: {said} in the comment of Cargo.toml, {table.get(name)} in {PAGES[0]}")
if not re.search(rf'^msrv = "{re.escape(oldest)}(\.0)?"$', Path("clippy.toml").read_text(), re.M):
    errors.append(f"clippy.toml: another msrv than Cargo.toml's {oldest}")

command = own[COMMAND]["rust_version"]
if f"Rust {command}" not in Path("cli/README.md").read_text():
    errors.append(f"cli/README.md does not say Rust {command}, as cli/Cargo.toml does")

rows = [("no feature", oldest, needed(LIBRARY)), (f"the command {COMMAND}", command, needed(COMMAND))]
for name in sorted(features & table.keys()):
    rows.append((name, table[name], needed(LIBRARY, "--features", name)))
for name, claimed, (newest, dependency) in rows:
    if version(newest) > version(claimed):
        errors.append(f"{name}: {dependency} needs Rust {newest}, and {claimed} is promised")
    elif version(newest) < version(claimed):
        print(f"    {name}: Rust {claimed} is promised; its dependencies ask for {newest}")

for error in errors:
    print(f"    {error}")
if errors:
    sys.exit(1)
print(f"    Rust {oldest}, or as the table says, is what the dependencies of {len(rows)} builds ask for")
