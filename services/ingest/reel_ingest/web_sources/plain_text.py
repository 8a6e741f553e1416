"""The words of a piece of HTML that a stranger wrote, without any of its markup; called by wikimedia."""

from __future__ import annotations

from html.parser import HTMLParser

_SILENT = {"script", "style", "template"}
_BREAKS = {"br", "p", "div", "li", "tr", "td"}


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BREAKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def plain_text(html: str) -> str:
    """Return text with markup taken out, entities resolved and white space folded. It is text: escape it as such."""
    words = _Words()
    words.feed(html)
    words.close()
    return " ".join("".join(words.parts).split())
