"""The list of a public API, one item a line.

public_api.py features PACKAGE     prints a line for each feature; reads what `cargo metadata` tells
public_api.py compare KEPT FOUND   prints how two lists differ, and exits with 1 if they do

Lines that begin with `# ` are comments.
"""

import collections
import json
import re
import sys


def features(name):
    packages = json.load(sys.stdin)["packages"]
    (names,) = (package["features"] for package in packages if package["name"] == name)

    def switched_on(feature):
        # Which dependencies a feature brings is no part of the API.
        others = {other for other in names[feature] if other in names}
        return others.union(*(switched_on(other) for other in others))

    for feature in sorted(names):
        others = sorted(switched_on(feature))
        print(f"feature {feature}" + (f" = {', '.join(others)}" if others else ""))


def without_generics(text):
    """Takes out `<..>`, one in another too; the arrow of a function type is no bracket."""
    while (shorter := re.sub(r"<(?:->|[^<>])*>", "", text)) != text:
        text = shorter
    return text


def subject(line):
    """What a line is about: its path, without the signature. Lines of one subject are one item, changed."""
    line = re.sub(r"^(#\[[^\]]*\] )*", "", line)
    if line.startswith("impl"):
        # `From<A>` and `From<B>` are two; bounds are not looked at, nor whether it is `!Send`.
        line = re.sub(r"^impl(<.*?>)? !?(?=\S+( for |$))", "impl ", line)
        return line.split(" where ")[0]
    path = re.split(r"[({]| where | = |: ", without_generics(line))[0]
    # `pub const fn` and `pub fn` are changes of one item, a type and a function of one name are not.
    words = path.split()
    return " ".join(word for word in words if word not in ("async", "const", "unsafe")) or line


def lines(file):
    with open(file, encoding="utf-8") as text:
        return [line.rstrip("\n") for line in text if not line.startswith("# ") and line.strip()]


def compare(kept, found):
    kept, found = lines(kept), lines(found)
    removed = collections.Counter(kept) - collections.Counter(found)
    added = collections.Counter(found) - collections.Counter(kept)
    if not removed and not added:
        return True
    subjects = collections.defaultdict(list)
    for line in added.elements():
        subjects[subject(line)].append(line)
    gone, changed = [], []
    for line in dict.fromkeys(kept):
        for _ in range(removed[line]):
            others = subjects[subject(line)]
            if others:
                changed.append((line, others.pop(0)))
            else:
                gone.append(line)
    new = [line for others in subjects.values() for line in others]
    if gone:
        print("removed, which breaks programs:")
        print(*(f"  - {line}" for line in gone), sep="\n")
    if changed:
        print("changed, which breaks programs unless each program of before still builds:")
        print(*(f"  - {before}\n  + {after}" for before, after in changed), sep="\n")
    if new:
        print("added, which breaks programs only in a trait that they implement or an enum that they match:")
        print(*(f"  + {line}" for line in new), sep="\n")
    return False


match sys.argv[1:]:
    case ["features", name]:
        features(name)
    case ["compare", kept, found]:
        sys.exit(0 if compare(kept, found) else 1)
    case _:
        sys.exit(__doc__)
