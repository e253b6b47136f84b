"""The documentation as docs.rs builds it.

docs_rs.py flags           prints what cargo is told, and on a second line what rustdoc is told
docs_rs.py labels FOLDER   refuses built pages on which a feature's label does not show
"""

import json
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = "tower-teamup-auth"


def flags():
    """What docs.rs reads in [package.metadata.docs.rs], as far as that can stand there."""
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    (package,) = (package for package in packages if package["name"] == PACKAGE)
    settings = dict((package["metadata"] or {}).get("docs", {}).get("rs", {}))
    arguments = settings.pop("cargo-args", [])
    for name in ("all-features", "no-default-features"):
        if settings.pop(name, False):
            arguments.append(f"--{name}")
    if features := settings.pop("features", None):
        arguments.append("--features=" + ",".join(features))
    rustdoc = settings.pop("rustdoc-args", [])
    # Of the targets docs.rs builds the first one by default: 64-bit Linux.
    settings.pop("targets", None)
    if settings:
        sys.exit(f"[package.metadata.docs.rs] says what this script does not know: {', '.join(settings)}")
    print(*arguments)
    print(*rustdoc)


def labels(folder):
    sources = "".join(path.read_text() for path in Path("src").rglob("*.rs"))
    marks = re.findall(r"docsrs, doc\(cfg\((.*?)\)\)\)\]", sources)
    marked = {name for mark in marks for name in re.findall(r'feature = "([\w-]+)"', mark)}
    shown = set()
    for page in Path(folder).rglob("*.html"):
        for label in re.findall(r'class="stab portability"[^>]*>(.*?)</(?:div|span)>', page.read_text()):
            shown.update(re.findall(r"<code>([\w-]+)</code>", label))
    missing = sorted(marked - shown)
    if missing or not marked:
        sys.exit(f"    no label shows for the features {', '.join(missing)} that are marked in src")
    print(f"    the labels of {len(marked)} features show: {' '.join(sorted(marked))}")


match sys.argv[1:]:
    case ["flags"]:
        flags()
    case ["labels", folder]:
        labels(folder)
    case _:
        sys.exit(__doc__)
