"""Follows every link within the site, to its page and its place there.

python docs/check_links.py docs/_build/html
"""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """The places and the links of a page."""

    def __init__(self, path):
        super().__init__()
        self.places, self.links = {""}, []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places |= {attributes.get("id"), attributes.get("name") if tag == "a" else None}
        for name in ("href", "src"):
            if attributes.get(name):
                self.links.append((tag, attributes[name]))


def problems(folder):
    """Returns a line for each link that leads nowhere, and for what a page would fetch."""
    # The theme's templates lie among its files.
    files = (path for path in folder.rglob("*.html") if "_static" not in path.parts)
    pages = {path: Page(path) for path in files}
    for path, page in pages.items():
        for tag, link in page.links:
            target = urllib.parse.urlsplit(link)
            if target.scheme or target.netloc:
                if tag not in ("a", "link") or target.scheme == "file":
                    yield f"{path}: {link} is fetched from elsewhere"
                continue
            name = urllib.parse.unquote(target.path)
            file = (path.parent / name).resolve() if name else path
            place = urllib.parse.unquote(target.fragment)
            if not file.exists():
                yield f"{path}: {link} does not exist"
            elif file in pages and place not in pages[file].places:
                yield f"{path}: {link} has no such place"


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1]).resolve()
    sys.exit("\n".join(sorted(set(problems(root)))) or None)
