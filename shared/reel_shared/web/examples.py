"""What the OpenAPI document shows as examples: a body for each endpoint that takes one, and answers, made of schemas.

Bodies are written by hand, as a person would send them. An answer is put together field by field: a value that stands
in the schema (an example, a default, the first of an enumeration), else what ``WORDS`` has under the field's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_ID = "01978c0de5b47cc2a1c5d0e0ffb2a4c1"
_SHA = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # pragma: allowlist secret
_PICTURE = f"uploads/6b/{_SHA}.jpg"
_JOB, _MODEL, _VERSION, _IMAGE, _MOVIE = (f"{prefix}_{_ID}" for prefix in ("job", "mdl", "dsv", "img", "mov"))

BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/movies": {
        "label": "mulan", "key": f"uploads/6b/{_SHA}.mp4", "title": "Mulan", "every_seconds": 2,
        "metadata": {"batch": "spring"},
    },
    "POST /v1/web-collections": {
        "label": "mulan", "provider": "openverse", "query": "mulan drawing", "style": "drawing", "limit": 200,
    },
    "POST /v1/dataset-imports": {"dataset": "films", "key": f"uploads/6b/{_SHA}.zip"},
    "POST /v1/image-changes": {"image_ids": [_IMAGE], "set": {"state": "rejected"}, "reason": "credits"},
    "POST /v1/images/{image_id}/resolve": {"label": "mulan", "others": "duplicate"},
    "PUT /v1/images/{image_id}/mark": {"mark": "background"},
    "POST /v1/subject-marks": {"mark": "keep", "image_ids": [_IMAGE]},
    "POST /v1/subject-rankings": {"dataset": "films", "label": "mulan", "precision": 0.95},
    "POST /v1/takedowns": {"page_url": "https://example.org/drawings/7", "reason": "its author asked for it"},
    "POST /v1/variants": {"dataset": "films", "variants": ["grayscale", "noise"], "seed": 7},
    "POST /v1/dataset-versions": {"dataset": "films", "valid_fraction": 0.2, "train_sources": ["movie", "web"]},
    "POST /v1/split-pins": {"dataset": "films", "side": "valid", "movie_id": _MOVIE, "scene": 12},
    "POST /v1/trainings": {"dataset_version_id": _VERSION, "recipe": "article", "seed": 42, "activate": True},
    "POST /v1/trainings/{job_id}/stop": {"when": "epoch"},
    "POST /v1/trainings/{job_id}/resume": {"metadata": {"why": "the machine is back"}},
    "POST /v1/trainings/{job_id}/extend": {"dataset_version_id": _VERSION, "activate": False},
    "POST /v1/models/{model_id}/shadow": {"share": 0.1},
    "PUT /v1/models/{model_id}/tags": {"tags": ["baseline", "films-only"]},
    "POST /v1/models/{model_id}/remarks": {"text": "Takes night scenes for Pocahontas."},
    "POST /v1/models/{model_id}/promote": {"reason": "better on cosplay"},
    "POST /v1/models/rollback": {"reason": "drawings were named wrong"},
    "POST /v1/models/{model_id}/candidate": {"reason": "to be looked at on Monday"},
    "POST /v1/exports": {"dataset_version_id": _VERSION, "pictures": True},
    "POST /v1/label-checks": {"dataset_version_id": _VERSION, "model": "active"},
    "POST /v1/leak-gaps": {"dataset": "films", "recipe": "quick"},
    "POST /v1/learning-rates": {"dataset_version_id": _VERSION, "recipe": "article", "steps": 100},
    "POST /v1/predictions": {"model": "active", "keys": [_PICTURE], "top_k": 3},
    "POST /v1/explanations": {"key": _PICTURE, "labels": ["mulan", "pocahontas"], "methods": ["gradcam", "guided"]},
    "POST /v1/explanation-batches": {"mistakes_in": "all", "limit": 20, "include_actual": True},
    "POST /v1/attention-differences": {"models": [_MODEL, "active"], "dataset_version_id": _VERSION},
    "POST /v1/feedback": {"key": _PICTURE, "predicted": "pocahontas", "right": False, "label": "mulan"},
    "POST /v1/queues/{queue}/pause": {"reason": "the GPU is wanted for something else"},
    "POST /v1/webhook-endpoints": {
        "url": "https://hooks.example.org/reelsight", "events": ["job.succeeded", "job.failed"],
    },
    "POST /v1/webhook-endpoints/{endpoint_id}/roll-secret": {"overlap_hours": 24},
    "POST /v1/keys": {"name": "nightly training", "scopes": ["read", "submit"], "expires_at": "2027-01-31T12:00:00Z"},
    "PUT /v1/keys/{key_id}/limits": {"jobs_per_day": 200, "predictions_per_minute": 600},
}  # fmt: skip
"""By verb and path; each passes the endpoint's own checks."""

ANSWERS: dict[str, Any] = {
    "GET /healthz": {"status": "ok"},
    "GET /readyz": {"status": "ready", "checks": {"database": {"ok": True, "seconds": 0.002}}},
    "GET /v1/limits": {
        "picture_bytes": 20_971_520, "picture_pixels": 40_000_000, "upload_bytes": 21_474_836_480,
        "json_bytes": 2_097_152, "archive_members": 20_000, "archive_bytes": 4_294_967_296,
        "dataset_members": 200_000, "page_size": 200,
        "rates": {"key": {"reads_per_minute": 6000}, "visitor": {"reads_per_minute": 600}}, "wait_seconds": 30.0,
        "idempotency_hours": 24, "media_types": ["image/jpeg", "image/png", "video/mp4", "application/zip"],
    },
}  # fmt: skip
"""Of endpoints whose answer has no schema that says more than "an object"."""

WORDS: dict[str, Any] = {
    "action": "promote", "active": "mulan", "after": "rejected", "against": _MODEL, "alias": "active",
    "architecture": "resnet50", "artefacts": [], "alarms": [], "attribution": "Inge Maar, CC BY 4.0", "base": _VERSION,
    "batch_id": f"chg_{_ID}", "before": "active", "box": [0, 0, 320, 180], "by": f"key_{_ID}",
    "cancel": f"/v1/jobs/{_JOB}/cancel", "classes_added": [], "classes_removed": [], "codec": "h264",
    "collection_id": None, "commit": "3f2a9c1", "creator": "Inge Maar", "cursor": None, "dataset": "films",
    "dataset_version_id": _VERSION, "description": "the fast recipe, for a first look", "device": "cpu",
    "disabled_reason": "", "duplicate_of": None, "endpoint_id": f"whe_{_ID}", "error": "", "event": "job.succeeded",
    "events": f"/v1/jobs/{_JOB}/events", "failed_gates": [], "gates": ["accuracy"], "graph_difference": 0.00001,
    "group": f"{_MOVIE}:12", "held_out": _IMAGE, "id": _IMAGE, "ids": [_IMAGE], "image_id": _IMAGE, "job_id": _JOB,
    "key": _PICTURE, "key_id": f"key_{_ID}", "kind": "trainer.train_model", "kinds": ["trainer.train_model"],
    "label": "mulan", "labels": ["mulan", "pocahontas"], "licence": "CC BY 4.0",
    "licence_url": "https://creativecommons.org/licenses/by/4.0/", "manifest_sha256": _SHA, "media_type": "image/jpeg",
    "message": "", "model": _MODEL, "model_id": _MODEL, "movie_id": _MOVIE, "name": "quick", "next_cursor": None,
    "note": "", "notes": [], "owner": f"key_{_ID}", "page_url": "https://example.org/drawings/7",
    "part": "all", "phash": "c" * 16, "precision": "fp32", "predicted": "pocahontas",
    "prefix": "0" * 12,
    "probe": "", "provider": "openverse", "query": "mulan drawing", "queue": "trainer", "reason": "credits",
    "reason_before": "", "recipe": "article", "request_id": None, "resumed_by": "", "says": "94.1 % of at least 90 %",
    "secret": "shown once: whsec_ and 44 letters", "self": f"/v1/jobs/{_JOB}", "sha256": _SHA, "shadow": "pocahontas",
    "side": "valid", "stage": "s1-300", "state": "running", "state_reason": "", "style": "drawing",
    "styles": ["drawing"], "tags": ["baseline"], "takedowns": [], "text": "Takes night scenes for Pocahontas.",
    "title": "Mulan", "token": "shown once: reel_, the prefix, _ and 43 letters", "train": _IMAGE, "unit": "epochs",
    "url": "https://example.org/drawings/7.jpg", "version": "0.1.0", "warnings": [], "weights": "torchvision",
    "classes": ["mulan", "pocahontas"], "aliases": ["active"], "added": [_IMAGE], "removed": [], "probes": [],
    "retry_of": None, "parent_id": None, "deleted": 3,
}  # fmt: skip
"""What a field of this name may hold."""

NUMBERS: dict[str, float] = {
    "accuracy_loss": 0.002, "alpha": 0.8, "attempt": 1, "bits": 4, "calibration_error": 0.03, "count": 120,
    "difference": 0.0, "duration_seconds": 5277.0, "epoch": 3, "frame_index": 17568, "frame_rate": 24.0, "gap": 0.07,
    "graph_difference": 0.00001, "height": 1080, "images": 1200, "images_per_second": 310.5, "kept": 1150, "limit": 200,
    "log_loss": 0.21, "loss": 0.21, "lr": 0.003, "memory": 1_610_612_736, "momentum": 0.9, "not_sure_below": 0.6,
    "number": 7, "odds": 1.1, "pts": 732_000, "running": 1, "failed": 0, "scene": 12, "scenes": 410, "seconds": 81.2,
    "seconds_left": 240.0, "seen": 1200, "size": 482_130, "status": 200, "temperature": 1.2, "threshold": 0.9,
    "time": 732.0, "time_seconds": 732.0, "train_loss": 0.24, "valid_loss": 0.21, "width": 1920,
}  # fmt: skip
"""How large a number of this name is; others are 12 or 0.94."""

OF_MODEL: dict[str, dict[str, Any]] = {
    "ModelView": {"id": _MODEL, "size": 224},
    "KeyView": {"id": f"key_{_ID}", "name": "nightly training"},
    "CreatedKey": {"id": f"key_{_ID}", "name": "nightly training"},
    "KeyChangeView": {"id": f"kch_{_ID}", "action": "made"},
    "MovieView": {"id": _MOVIE, "title": "Mulan"},
    "DatasetVersionView": {"id": _VERSION},
    "QueueView": {"name": "trainer"},
    "EndpointView": {"id": f"whe_{_ID}", "url": "https://hooks.example.org/reelsight"},
    "CreatedEndpoint": {"id": f"whe_{_ID}", "url": "https://hooks.example.org/reelsight"},
    "DeliveryView": {"id": f"whd_{_ID}"},
    "FeedbackView": {"id": f"fbk_{_ID}"},
    "PauseView": {"id": f"qps_{_ID}"},
    "SplitPinView": {"id": f"pin_{_ID}"},
    "TakedownView": {"id": f"tkd_{_ID}"},
    "CollectionView": {"id": f"col_{_ID}"},
    "Calibration": {"part": "all"},
    "LeakCertificate": {"strategy": "groups"},
}
"""Where a name alone would mislead."""

_NUMBERS = {"integer": 12, "number": 0.94}
_KEY = {
    "metrics": "all",
    "parts": "all",
    "confusion": "all",
    "gain": "all",
    "probes": "cosplay",
    "sources": "movie",
    "by_source": "movie",
    "files": "model.safetensors",
    "violated": "accuracy",
}
_FORMATS = {"date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31"}


class Maker:
    """Makes an example of a schema; ``unknown`` names the text fields for which there was no value."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self._schemas = schemas
        self.unknown: set[str] = set()

    def make(self, schema: Schema, name: str = "", model: str = "") -> Any:
        """Return a value that fits ``schema``: of the field ``name`` of the model ``model``."""
        if "$ref" in schema:
            model = schema["$ref"].rpartition("/")[2]
            return self.make(self._schemas[model], name, model)
        for place in ("examples", "example"):
            if place in schema:
                return schema[place][0] if place == "examples" else schema[place]
        if "properties" in schema:
            own = OF_MODEL.get(model, {})
            return {
                field: own[field] if field in own else self.make(inner, field, model)
                for field, inner in schema["properties"].items()
            }
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._either(options, name, model)
        return self._plain(schema, name)

    def _either(self, options: list[Schema], name: str, model: str) -> Any:
        if {"type": "null"} in options and (name not in WORDS or WORDS[name] is None):
            texts = [one for one in options if one.get("type") == "string" and "format" not in one]
            if texts or WORDS.get(name, "") is None:
                return None
        return self.make(next(one for one in options if one.get("type") != "null"), name, model)

    def _plain(self, schema: Schema, name: str) -> Any:
        kind = schema.get("type")
        if kind in _NUMBERS:
            return self._number(schema, name)
        if kind == "boolean":
            return bool(schema.get("default", True))
        if "default" in schema:
            return schema["default"]
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if kind == "array":
            return self._list(schema, name)
        if kind == "object":
            return self._table(schema, name)
        if kind == "string":
            if not isinstance(WORDS.get(name), str):
                self.unknown.add(name)
            return WORDS.get(name) or ""
        return None

    def _table(self, schema: Schema, name: str) -> dict[str, Any]:
        inner = schema.get("additionalProperties")
        if not isinstance(inner, Mapping) or not inner:
            return {}
        key = schema.get("propertyNames", {}).get("enum", [_KEY.get(name, "mulan")])[0]
        return {key: self.make(inner, name)}

    def _number(self, schema: Schema, name: str) -> Any:
        if schema.get("default") is not None:
            return schema["default"]
        none = name.startswith("shared_") or name.endswith("duplicates_across")
        value = 0 if none else NUMBERS.get(name, _NUMBERS[schema["type"]])
        if schema["type"] == "integer":
            value = round(value)
        return min(max(value, schema.get("minimum", value)), schema.get("maximum", value))

    def _list(self, schema: Schema, name: str) -> list[Any]:
        found = WORDS.get(name)
        if isinstance(found, list) and not {"$ref", "properties"} & schema.get("items", {}).keys():
            return found
        if name.endswith("interval"):
            return [0.92, 0.96]
        if places := schema.get("prefixItems"):
            return [self.make(one, name) for one in places]
        return [self.make(schema.get("items", {}), name)] * max(1, schema.get("minItems", 1))
