"""What every contract is made of: names, keys, sources, variants, states and stored files."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def spelled(pattern: str, advice: str) -> AfterValidator:
    """Refuse text that does not match with a sentence for people; a schema shows the pattern beside it."""
    wanted = re.compile(pattern)

    def check(text: str) -> str:
        if not wanted.fullmatch(text):
            raise ValueError(advice)
        return text

    return AfterValidator(check)


ACTIVE = "active"
"""Stands for the id of the model that serves now."""
TERMINAL = frozenset({"succeeded", "failed", "canceled"})
"""The states that a job never leaves."""

_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_NAME_ADVICE = (
    "Use lower-case letters, digits, - and _, at most 63 characters, beginning with a letter or a digit."
)
_KEY = r"^[a-z]+/[A-Za-z0-9_./-]{1,400}$"
_KEY_ADVICE = "Name the file by its key, such as uploads/ab/abcdef.jpg; POST /v1/uploads answers with one."
_DROP = r"^(?!.*\.\.)(drop(/[A-Za-z0-9_.-]{1,100}){0,8}/?)?$"
_DROP_ADVICE = (
    "Name a folder under drop/, such as drop/kiki; pictures elsewhere in the bucket are not collected."
)
RECIPE_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,40}$"

Label = Annotated[
    str,
    spelled(_NAME, _NAME_ADVICE),
    Field(description="class name, as in folder names", json_schema_extra={"pattern": _NAME}),
]
DatasetName = Annotated[str, spelled(_NAME, _NAME_ADVICE), Field(json_schema_extra={"pattern": _NAME})]
ObjectKey = Annotated[
    str,
    spelled(_KEY, _KEY_ADVICE),
    Field(description="key in the bucket", json_schema_extra={"pattern": _KEY}),
]
DropFolder = Annotated[str, spelled(_DROP, _DROP_ADVICE), Field(json_schema_extra={"pattern": _DROP})]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Source(StrEnum):
    MOVIE = "movie"
    WEB = "web"


class Variant(StrEnum):
    """What a stored picture is: the original, or one of the six scikit-image variants."""

    ORIGINAL = "original"
    GRAYSCALE = "grayscale"
    INVERT = "invert"
    NOISE = "noise"
    INTENSITY = "intensity"
    INTENSITY_INVERT = "intensity-invert"
    LOG = "log"
    SIGMOID = "sigmoid"


class ImageState(StrEnum):
    """Whether a picture takes part. Only active ones do; nothing but ``removed`` is ever deleted.

    A variant follows its original: the original's state decides for both, whatever the variant's own says. So a
    variant keeps ``active`` when its original is rejected, and is back with it; only ``removed`` is set on both.

    ``state_reason`` beside it says why: a quality check, ``near-duplicate``, ``conflict``, ``background``, a person.
    """

    ACTIVE = "active"
    REJECTED = "rejected"
    """Of no use, by a check or by a person."""
    QUARANTINED = "quarantined"
    """A person has to decide: such as the same picture under two labels."""
    DUPLICATE = "duplicate"
    """Shows what ``duplicate_of`` shows."""
    REMOVED = "removed"
    """Taken down: its files are gone, the row stays so that it does not come back."""


class Model(BaseModel):
    # Each process uses a few of all contracts: a validator is built when it is first asked for.
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), defer_build=True)


ModelT = TypeVar("ModelT", bound=BaseModel)


def stored(model: type[ModelT], data: Any) -> ModelT:
    """Read what a process of an older or a newer release wrote: fields that this one does not know are left out.

    What people send is read strictly, by ``model_validate``: a field that is misspelt is refused there.
    """
    return model.model_validate(data, extra="ignore")


class Finite(Model):
    """Figures: a number that is none (NaN) or has no bounds is refused, for JSON cannot say it."""

    model_config = ConfigDict(allow_inf_nan=False)


class StoredFile(Model):
    """An object in the bucket. The API adds ``url``, a presigned link, whenever it shows one."""

    key: str
    media_type: str
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256
    url: str | None = None


class Counts(Model):
    """What became of every candidate: kept + duplicates + conflicts + rejected + refused = seen.

    Everything but the refused is stored, each with its state; refused is what cannot be stored as a picture.
    """

    seen: int = 0
    kept: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    conflicts: int = Field(default=0, description="shows what stands under another label; waits for a person")
    rejected: dict[str, int] = Field(default_factory=dict, description="stored but not used, by reason")
    refused: dict[str, int] = Field(default_factory=dict, description="how many, by reason")


JsonObject = dict[str, Any]


class LabelProbability(Model):
    label: str
    probability: float
