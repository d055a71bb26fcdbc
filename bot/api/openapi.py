"""The OpenAPI 3.1 document, made from the same endpoints that the router serves, so that the two cannot differ."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from bot.api.endpoints import Endpoint, Nothing
from bot.api.requests import IDEMPOTENCY_KEY
from bot.api.scopes import AREAS, SCOPES

REF = "#/components/schemas/{model}"
ADDRESS = "/api/v1/openapi.json"

REFUSALS = {
    400: "the Idempotency-Key is missing or malformed, or the body is no JSON",
    401: "the bearer key is missing, unknown or revoked",
    403: "the key has not the scope",
    404: "there is no such thing",
    409: "the Idempotency-Key came with another body before, or the thing is in another state",
    413: "the body is too large",
    415: "the body is not JSON",
    422: "a field is wrong, or the programme refuses",
    429: "the key has used up its rate; Retry-After says how long to wait",
    503: "the database does not answer; send the same request again, it is done once",
}
ONLY_WITH_BODY = {413, 415}
ONLY_ON_WRITES = {400, 409}


class FieldProblem(BaseModel):
    """A part of the request and how to mend it."""

    field: str
    mend: str


class ProblemDocument(BaseModel):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    errors: list[FieldProblem]


class _Schemas(GenerateJsonSchema):
    """Named tuples are objects on the wire."""

    def arguments_schema(self, schema: core_schema.ArgumentsSchema) -> JsonSchemaValue:
        """By name, never by position."""
        arguments = [argument for argument in schema["arguments_schema"] if argument.get("mode") != "positional_only"]
        return self.kw_arguments_schema(arguments, schema.get("var_kwargs_schema"))


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    bodies = [one.body for one in endpoints if one.body is not None]
    asked = [(kind, "validation") for one in endpoints for kind in (one.params, one.query)]
    told = [(kind, "serialization") for kind in (ProblemDocument, *(one.answer for one in endpoints))]
    wanted: Any = list(dict.fromkeys([*asked, *((kind, "validation") for kind in bodies), *told]))
    found, definitions = models_json_schema(wanted, ref_template=REF, schema_generator=_Schemas)
    schemas = definitions["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, found, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Huitou 回头", "version": _version(), "description": "Loyalty for the brand's own systems."},
        "security": [{"key": []}],
        "tags": [{"name": area, "description": text} for area, text in AREAS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": _scopes()}},
        },
    }


def _operation(one: Endpoint, found: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": f"Scope: {one.scope}." if one.scope else "Any key.",
        "tags": [one.scope.partition(":")[0]] if one.scope else [],
        "parameters": [*_parameters(one.params, "path", schemas), *_parameters(one.query, "query", schemas)],
        "responses": _responses(one, found),
    }
    if one.writes:
        operation["parameters"].append({
            "name": "Idempotency-Key", "in": "header", "required": True,
            "description": "new for each write, the same when it is sent again",
            "schema": {"type": "string", "pattern": IDEMPOTENCY_KEY},
        })
    if one.body is not None:
        schema = found[(one.body, "validation")]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _responses(one: Endpoint, found: Any) -> dict[str, Any]:
    answer = {"application/json": {"schema": found[(one.answer, "serialization")]}}
    responses: dict[str, Any] = {str(status): {"description": "done", "content": answer} for status in one.statuses}
    if one.writes:
        for response in responses.values():
            response["headers"] = {"Idempotent-Replayed": {
                "description": "true where this is the stored answer of an earlier request",
                "schema": {"type": "string"}}}
    problem = {"application/problem+json": {"schema": found[(ProblemDocument, "serialization")]}}
    for status, text in REFUSALS.items():
        if (not one.writes and status in ONLY_ON_WRITES) or (one.body is None and status in ONLY_WITH_BODY):
            continue
        responses[str(status)] = {"description": text, "content": problem}
    return responses


def _parameters(kind: type[BaseModel], place: str, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if kind is Nothing:
        return []
    schema = schemas[kind.__name__]
    return [
        {"name": name, "in": place, "required": place == "path" or name in schema.get("required", ()),
         "description": value.get("description", ""),
         "schema": {key: item for key, item in value.items() if key not in ("description", "title")}}
        for name, value in schema["properties"].items()
    ]


def _scopes() -> str:
    return "A key made with `huitou keys create`. Scopes: " + ", ".join(SCOPES)


def _version() -> str:
    try:
        return version("huitou")
    except PackageNotFoundError:
        return "0"
