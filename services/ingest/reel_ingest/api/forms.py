"""How the API describes a body that is JSON, or a form with a file; called by movies, collections and imports."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def submission_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a body that is JSON, or a form with a file instead of its key."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    fields = {name: field for name, field in schema["properties"].items() if name != "key"}
    form = {
        "type": "object",
        "required": ["file", *(name for name in schema.get("required", ()) if name != "key")],
        "properties": {"file": {"type": "string", "format": "binary"}, **fields},
    }
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}
