"""How the API describes a body that is JSON, or a form with a file; called by movies, collections and imports."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from reel_shared.web.schemas import written_out


def submission_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a body that is JSON, or a form with a file instead of its key."""
    schema = written_out(model)
    fields = {name: field for name, field in schema["properties"].items() if name != "key"}
    form = {
        "type": "object",
        "required": ["file", *(name for name in schema.get("required", ()) if name != "key")],
        "properties": {"file": {"type": "string", "format": "binary"}, **fields},
    }
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}
