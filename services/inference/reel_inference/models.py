"""Owns the models in memory: finds the active one, brings its files here, checks them and swaps engines.

Called by the API (with a watcher thread) and by the prediction job. Where models are recorded and where their
files lie is handed in.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from reel_inference import figures
from reel_shared import errors
from reel_shared.contracts import ACTIVE, StoredFile
from reel_shared.model_card import CARD, GRAPH, INT8_GRAPH, facts_of

if TYPE_CHECKING:
    from reel_inference.engine import Engine

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What the registry knows of a model: its id and its files by name, with their hashes."""

    id: str
    files: Mapping[str, StoredFile]


class Models:
    """The active engine, which stays, and a few that were asked last. A request keeps its engine to its end."""

    def __init__(
        self,
        *,
        find: Callable[[str], ModelRecord],
        download: Callable[[str, Path], object],
        load: Callable[[Path], Engine],
        folder: Path,
        keep: int = 1,
    ) -> None:
        """`find` takes an id or `active` and raises errors.NoModel or errors.NotFound.

        `keep` is how many stay in memory beside the active one: those asked last, such as the active one's forerunner.
        """
        self._find, self._download, self._load = find, download, load
        self._folder, self._keep = folder, keep
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        """By id, the one asked last at the end; with the active one."""
        self._loading = threading.Lock()
        self._looking = threading.Lock()
        """Never held for longer than it takes to look: the event loop takes it too."""
        self._active: Engine | None = None
        self.looked = threading.Event()
        """Set when `watch` has looked once, whatever came of it."""

    def engine(self, model: str = ACTIVE) -> Engine:
        """Return the engine of `active` or of a model id, loading it when it is not here yet.

        Raises errors.NoModel, errors.NotFound, or errors.Corrupt when a file does not match its hash.
        """
        found = self.resident(model)
        if found is not None:
            return found
        if model == ACTIVE:
            return self.refresh()
        engine = self._loaded(self._find(model))
        self._let_go()
        return engine

    def resident(self, model: str = ACTIVE) -> Engine | None:
        """Return the engine if it is in memory; asks and waits for nothing."""
        if model == ACTIVE:
            return self._active
        with self._looking:
            found = self._engines.get(model)
            if found is not None:
                self._engines.move_to_end(model)
            return found

    def refresh(self) -> Engine:
        """Look up the active model and swap to it; the engine before serves until the new one is warm."""
        try:
            record = self._find(ACTIVE)
        except errors.NoModel:
            self._active = None
            raise
        engine = self._loaded(record)
        if engine is not self._active:
            facts = {"model": record.id, "engine": engine.name, "device": engine.device}
            log.info("model active", **facts, **({"why": engine.choice.why} if engine.choice.why else {}))
            self._active = engine
            figures.expect(engine.card)
            self._let_go()
        return engine

    def watch(self, stop: threading.Event, every_seconds: float) -> None:
        """Follow the registry until `stop`. A registry or store that is away changes nothing served."""
        while True:
            try:
                self.refresh()
            except errors.NoModel:
                pass
            except Exception as error:  # the watcher must outlive any fault; what is served stays as it was
                log.warning("active model not refreshed", error=str(error))
            self.looked.set()
            if stop.wait(every_seconds):
                return

    def _loaded(self, record: ModelRecord) -> Engine:
        found = self.resident(record.id)
        if found is not None:
            return found
        with self._loading:
            found = self.resident(record.id)  # another thread may have loaded it meanwhile
            if found is None:
                found = self._load(self.bring(record))
                with self._looking:
                    self._engines[record.id] = found
            return found

    def _let_go(self) -> None:
        """Drop what was asked longest ago; requests that still hold an engine end with it."""
        with self._looking:
            others = [name for name, engine in self._engines.items() if engine is not self._active]
            for name in others[: max(0, len(others) - self._keep)]:
                del self._engines[name]

    def bring(self, record: ModelRecord) -> Path:
        """Return the folder of the model's checked files; what another run left there is checked again."""
        home = self._folder / record.id
        if home.is_dir():
            try:
                return _checked(home, record)
            except errors.Corrupt as error:
                log.warning("local copy damaged, bringing it again", model=record.id, error=error.detail)
                shutil.rmtree(home)
        self._folder.mkdir(parents=True, exist_ok=True)
        incoming = Path(tempfile.mkdtemp(dir=self._folder, prefix=".incoming-"))
        try:
            for name in _wanted(record):
                self._download(_file(record, name).key, incoming / name)
            _checked(incoming, record)
            try:
                incoming.rename(home)
            except OSError:  # another process on this machine brought the same files first
                return _checked(home, record)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return home


def _file(record: ModelRecord, name: str) -> StoredFile:
    try:
        return record.files[name]
    except KeyError:
        raise errors.Corrupt(f"Model {record.id} has no {name}; train or export it again.") from None


def _wanted(record: ModelRecord) -> list[str]:
    """Return what is brought of a model: not its weights, and the int8 graph only where it has one."""
    return [CARD, GRAPH, *(name for name in (INT8_GRAPH,) if name in record.files)]


def _checked(directory: Path, record: ModelRecord) -> Path:
    for name in _wanted(record):
        path = directory / name
        if not path.is_file() or facts_of(path).sha256 != _file(record, name).sha256:
            raise errors.Corrupt(
                f"{name} of model {record.id} does not match its recorded hash; publish the model again."
            )
    return directory
