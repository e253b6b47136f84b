"""What a release needs beside the code, checked in the tree: release.py [--final]

The changelog has something to say about what would be released, the versions that the pages and the command
name are that of the library, and the packages have one licence. `--final` asks for what the release itself
needs: a dated section of the version in the changelog, and nothing left under "Unreleased".
"""

import json
import re
import subprocess
import sys
from pathlib import Path

LIBRARY, COMMAND = "tower-teamup-auth", "teamup-auth"
final = sys.argv[1:] == ["--final"]
if sys.argv[1:] and not final:
    sys.exit(__doc__)
errors, notes = [], []


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


metadata = json.loads(output("cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"))
publishable = {package["name"]: package for package in metadata["packages"] if package["publish"] is None}
published = {name: publishable[name] for name in (LIBRARY, COMMAND)}
version = published[LIBRARY]["version"]


def allows(requirement):
    """Whether a version as `cargo add` writes it, `0.1` or `0.1.0`, allows the library's."""
    asked, has = ([int(part) for part in text.split(".")] for text in (requirement, version.split("-")[0]))
    fixed = next((at for at, part in enumerate(has) if part), 2) + 1
    return asked[:fixed] == has[: min(fixed, len(asked))] and asked <= has


def check_versions():
    named = 0
    pattern = re.compile(rf'{LIBRARY} = (?:"|\{{[^}}]*\bversion = ")(\d[\d.]*)"')
    for file in output("git", "ls-files", "-co", "--exclude-standard", "*.md", "*.rs", "*.toml").splitlines():
        if not Path(file).exists():
            continue
        for number, line in enumerate(Path(file).read_text().splitlines(), 1):
            if found := pattern.search(line):
                named += 1
                if not allows(found[1]):
                    errors.append(f"{file}:{number} names {LIBRARY} {found[1]}; it is {version}")
    notes.append(f"{named} lines name a version of {LIBRARY} that allows {version}")
    for name, package in published.items():
        if package["version"] != version:
            errors.append(f"{name} is {package['version']}; {LIBRARY} is {version}, and they share a changelog")


def check_changelog():
    text = Path("CHANGELOG.md").read_text()
    # What stands in each section, newest first: its entries, by the version and the date of its heading.
    parts = re.split(r"^## \[(.+?)\](?: - (\S+))?$", text, flags=re.M)[1:]
    sections = {parts[at]: (parts[at + 1], re.findall(r"^- \S", parts[at + 2], re.M)) for at in range(0, len(parts), 3)}
    date, entries = sections.get(version, (None, []))
    _, unreleased = sections.get("Unreleased", (None, []))
    if "Unreleased" in list(sections)[1:]:
        errors.append('CHANGELOG.md: "Unreleased" is not the first section')
    if version in sections:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", date or ""):
            errors.append(f"CHANGELOG.md: [{version}] has no date such as 2026-01-31")
        if not entries:
            errors.append(f"CHANGELOG.md: nothing stands under [{version}]")
    elif final:
        errors.append(f"CHANGELOG.md: there is no section [{version}] - DATE")
    elif not unreleased:
        errors.append(f"CHANGELOG.md: nothing stands under [Unreleased], and there is no [{version}]")
    if final and unreleased:
        errors.append(f"CHANGELOG.md: {len(unreleased)} entries still stand under [Unreleased]")
    notes.append(f"CHANGELOG.md: {len(entries)} entries for {version}, {len(unreleased)} unreleased")


def check_packages():
    for name in sorted(publishable.keys() - published.keys()):
        errors.append(f"{name} would be published too; its manifest does not say publish = false")


def check_licences():
    licences = {package["license"] for package in published.values()}
    if len(licences) != 1:
        errors.append(f"the packages have different licences: {sorted(map(str, licences))}")
    for name in ("LICENSE-APACHE", "LICENSE-MIT"):
        texts = {(Path(package["manifest_path"]).parent / name).read_text() for package in published.values()}
        if len(texts) != 1:
            errors.append(f"{name} is another text in one of the packages")
    notes.append(f"{' and '.join(sorted(published))}: {' '.join(map(str, licences))}")


check_packages()
check_versions()
check_changelog()
check_licences()
for line in errors or notes:
    print(f"    {line}")
sys.exit(1 if errors else 0)
