"""Every provider by its name, and what it can do; called by the tasks and the API."""

from __future__ import annotations

from reel_ingest.web_sources.archive import Archive
from reel_ingest.web_sources.folder import Folder
from reel_ingest.web_sources.openverse import Openverse
from reel_ingest.web_sources.provider import Capabilities
from reel_ingest.web_sources.search_engine import SearchEngine
from reel_ingest.web_sources.searches import check_dates
from reel_ingest.web_sources.urls import Urls
from reel_ingest.web_sources.wikimedia import Wikimedia
from reel_shared.contracts import CollectPicturesRequest
from reel_shared.errors import Unprocessable
from reel_shared.settings import Ingest

CAPABILITIES: dict[str, Capabilities] = {
    provider.name: provider.capabilities
    for provider in (Openverse, Wikimedia, SearchEngine, Urls, Folder, Archive)
}


def check(request: CollectPicturesRequest, settings: Ingest) -> None:
    """Refuse what the provider cannot do or may not be asked for as things are set. Raises ``Unprocessable``."""
    check_dates(request.provider, CAPABILITIES[request.provider], request)
    if request.provider == Wikimedia.name and not settings.contact:
        raise Unprocessable(
            "Wikimedia asks robots to name a contact; set REEL_INGEST__CONTACT to a mail address or a page."
        )
    if request.provider == SearchEngine.name and not settings.ddgs:
        raise Unprocessable(
            "The search engine is switched off, because it is asked as if by a browser and names no licences; "
            "set REEL_INGEST__DDGS to true, or search openverse or wikimedia."
        )
