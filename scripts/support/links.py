"""Follows the links of the built documentation, and those of the project's own pages that lead into it.

usage: links.py FOLDER_OF_THE_DOCS CRATE PAGE...

Rustdoc checks links to items. It checks no heading, no link that is written as a path, and no page beside the
sources. Prints what leads nowhere, and exits with 1 if anything does.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote


class Page(HTMLParser):
    """The links of a page, and what can be linked to in it."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.is_foreign = False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" and value:
                self.ids.add(value)
                # The last of a page. Their words are other crates', whose links rustdoc does not resolve.
                self.is_foreign |= value == "blanket-implementations"
            elif name == "href" and tag == "a" and value and not self.is_foreign:
                self.links.add(value)


def main() -> int:
    folder, crate, pages = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    parsed: dict[Path, Page] = {}
    dead: list[str] = []
    followed = 0

    def page(path: Path) -> Page:
        if path not in parsed:
            parsed[path] = Page(path)
        return parsed[path]

    def follow(source: str, target: Path, fragment: str) -> None:
        nonlocal followed
        followed += 1
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            dead.append(f"{source}: {target} is not there")
        elif fragment and target.suffix == ".html" and not {fragment, unquote(fragment)} & page(target).ids:
            dead.append(f"{source}: {target} has no #{fragment}")

    for path in sorted((folder / crate).rglob("*.html")):
        for link in page(path).links:
            link, _, fragment = link.partition("#")
            # Of a source file, lines are linked to; of another site, nothing is known here.
            if ":" in link or "/src/" in link:
                continue
            follow(str(path), (path.parent / unquote(link)).resolve() if link else path, fragment)
    for name in pages:
        text = Path(name).read_text()
        for link in re.findall(rf"https://docs\.rs/[\w-]+/latest/({crate}/[\w./-]*(?:#[\w.-]+)?)", text):
            link, _, fragment = link.partition("#")
            follow(name, folder / link, fragment)
        for link in re.findall(r"\]\((?!\w+:)([^)#\s]+)", text) + re.findall(r"^\[[^]]+\]: (?!\w+:)(\S+)", text, re.M):
            follow(name, Path(name).parent / link, "")
    print("\n".join(dead))
    print(f"    {followed} links followed, {len(dead)} lead nowhere")
    return 1 if dead or followed < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
