"""The description of the JSON API, in OpenAPI 3.1; a test holds it to the routes and to real answers."""

from __future__ import annotations

from typing import Any

from ganhash_cli import __version__
from ganhash_cli.web.search import MOST_PAGE, PAGE, SOME
from ganhash_cli.web.uploads import MOST_BYTES

_TEXT, _WHOLE = {"type": "string"}, {"type": "integer", "minimum": 0}
_USUAL = (400, 401, 403, 429, 503)  # what each address may be refused with that needs a token and computes
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST_PAGE}


def describe() -> dict[str, Any]:
    """Return the description as a JSON object."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ganhash",
            "version": __version__,
            "description": "Similar images by Hamming distance. Rows, the ids, hold for the codes of one digest.",
        },
        "paths": {
            "/healthz": {"get": _operation("Whether the server answers; needs no token.", "Health", 400, 403)},
            "/api/about": {"get": _operation("What is searched, and what may be sent.", "About", *_USUAL)},
            "/api/query": {
                "post": {
                    **_operation("The neighbours of an image.", "Neighbours", *_USUAL, 408, 413, 415, 422),
                    "parameters": _VIEW,
                    "requestBody": {
                        "required": True,
                        "description": f"The image file itself, at most {MOST_BYTES:,} bytes.",
                        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
                    },
                }
            },
            "/api/neighbours": {
                "get": {
                    **_operation("The neighbours of a code, further pages, other limits.", "Neighbours", *_USUAL),
                    "parameters": [_parameter("code", _TEXT, "Hexadecimal, from an answer.", required=True), *_VIEW],
                }
            },
            "/api/images": {
                "get": {
                    **_operation("Some images, to start from, or the one of a path.", "Images", *_USUAL, 404),
                    "parameters": [
                        _parameter("path", _TEXT, "That of the image, as an answer gave it."),
                        _parameter("limit", _LIMIT, f"How many to return, else {SOME}."),
                    ],
                }
            },
            "/thumbnail/{id}": {
                "get": {
                    "summary": "An image by its id, square, as a small JPEG.",
                    "parameters": [
                        {**_parameter("id", _WHOLE, "The row of the image.", required=True), "in": "path"},
                        _parameter("codes", _TEXT, "The digest of the codes that the id is from."),
                    ],
                    "responses": {
                        "200": {"description": "The image.", "content": {"image/jpeg": {}}},
                        **_errors(*_USUAL, 404, 409, 410, 422),
                    },
                }
            },
        },
        "components": {"schemas": _SCHEMAS},
    }


def _operation(summary: str, schema: str, *errors: int) -> dict[str, Any]:
    answer = {"description": summary, "content": _content(schema)}
    return {"summary": summary, "responses": {"200": answer, **_errors(*errors)}}


def _errors(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {"description": _MEANINGS[status], "content": _content("Error")} for status in sorted(statuses)
    }


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _parameter(name: str, schema: dict[str, Any], text: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "required": required, "schema": schema}


def _record(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_MEANINGS = {
    400: "A parameter is wrong, nothing was sent, or the Host header names somebody else.",
    401: "A token is needed: Authorization: Bearer TOKEN.",
    403: "The page of another site asks.",
    404: "There is no image of this id or path.",
    408: "The image did not come in time.",
    409: "The codes were replaced since.",
    410: "The image is missing, its file is not there now, or has changed its size since it was encoded.",
    413: "The image has too many bytes.",
    415: "A form was sent in place of the image.",
    422: "The image cannot be read, or has too many pixels.",
    429: "Too many requests wait; Retry-After says when to ask again.",
    503: "The codes, the index or the model cannot be read now.",
}
_VIEW = [
    _parameter("offset", _WHOLE, "How many neighbours to leave out, the nearest first."),
    _parameter("limit", _LIMIT, f"How many to return, else {PAGE}."),
    _parameter(
        "max_distance",
        {"type": "integer", "minimum": 0, "maximum": 1024},
        "None that differ in more bits; at most the bits of /api/about.",
    ),
    _parameter("label", _TEXT, "Only those with this label."),
]
_IMAGE = {
    "id": _WHOLE,
    "code": _TEXT,
    "path": _TEXT,
    "path_b64": _TEXT,
    "name": _TEXT,
    "labels": {"type": "array", "items": _TEXT},
    "thumbnail": _TEXT,
}
_HIT = _record({"rank": _WHOLE, "distance": _WHOLE, **_IMAGE}, optional=("path_b64",))
_SCHEMAS = {
    "Error": _record({"error": _TEXT, "hint": _TEXT}),
    "Health": _record({"status": _TEXT, "waiting": _WHOLE}),
    "About": _record(
        {
            "version": _TEXT,
            "images": _WHOLE,
            "bits": _WHOLE,
            "fingerprint": _TEXT,
            "codes": _TEXT,
            "root": _TEXT,
            "root_b64": _TEXT,
            "labels": {"type": "array", "items": _TEXT},
            "note": _TEXT,
            "most_bytes": _WHOLE,
            "most_pixels": _WHOLE,
        },
        optional=("root_b64",),
    ),
    "Neighbours": _record(
        {
            "code": _TEXT,
            "bits": _WHOLE,
            "codes": _TEXT,
            "searched": _WHOLE,
            "counts": {"type": "array", "items": _WHOLE},
            "total": _WHOLE,
            "complete": {"type": "boolean"},
            "offset": _WHOLE,
            "milliseconds": {"type": "number"},
            "note": _TEXT,
            "hits": {"type": "array", "items": _HIT},
        }
    ),
    "Images": _record({"codes": _TEXT, "images": {"type": "array", "items": _record(_IMAGE, optional=("path_b64",))}}),
}
