"""Which offers a search phrase finds, in whatever form its words stand. Called by server and commons."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reelsight.studio.catalogue import film
from reelsight.studio.gallery import Offer

_STOP = {"the", "a", "an", "and", "of", "by"}


def words(text: str) -> set[str]:
    """The text's words in a common form: `Sketches` and `sketch`, `fan art` and `fanart` are the same."""
    joined = re.sub(r"fan[\s-]*arts?\b", "fanart", text.lower())
    found = set(re.findall(r"[^\W_]+", joined)) - _STOP
    return {re.sub(r"(?<=[cs]h)es$|(?<=[^s])s$", "", word) for word in found}


def matching(offers: Iterable[Offer], text: str) -> list[Offer]:
    """The offers that have all the words, in the order of their ids."""
    wanted = words(text)
    return sorted((offer for offer in offers if wanted <= words(_about(offer))), key=lambda o: o.id)


def licence_of(offer: Offer) -> tuple[str, str]:
    """An offer's licence as people write it, and the address of its deed."""
    name = "CC0" if offer.licence == "cc0" else f"CC {offer.licence.upper()}"
    folder = "publicdomain/zero" if offer.licence == "cc0" else f"licenses/{offer.licence}"
    deed = f"https://creativecommons.org/{folder}/{offer.licence_version}/"
    return f"{name} {offer.licence_version}", deed


def _about(offer: Offer) -> str:
    return (
        f"{offer.title} {film(offer.label).title} {offer.style} {offer.creator} {' '.join(offer.characters)}"
    )
