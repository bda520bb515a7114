"""Schemas of an OpenAPI document as JSON Schemas on their own: references followed, 3.0's dialect translated."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import jsonschema

from practicum.services.documents import Misshapen

Keys = tuple[str | int, ...]

_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def child(holder: Any, name: str, keys: Keys, kind: type, default: Any = None) -> Any:
    """A member of an object, of the given type.

    Raises:
        Misshapen: it is missing and has no default, or is of another type.
    """
    value = holder.get(name, default) if isinstance(holder, Mapping) else None
    if not isinstance(value, kind):
        word = "a list" if kind is list else "an object"
        found = "is missing" if value is None else f"is {type(value).__name__}, not {word}"
        raise Misshapen(f"{name} {found}", (*keys, name), allowed=word)
    return value


def checked(schema: Any, keys: Keys) -> dict[str, Any]:
    """A JSON Schema, proven to be one; ``true`` and ``false`` as the objects they stand for.

    Raises:
        Misshapen: it is none.
    """
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if not isinstance(schema, Mapping):
        raise Misshapen(f"a schema is {type(schema).__name__}", keys, allowed="an object")
    members = dict(schema)
    kind = jsonschema.validators.validator_for(members, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(members)
    except jsonschema.SchemaError as error:
        raise Misshapen(f"not a JSON Schema: {error.message}", (*keys, *error.path)) from error
    return members


class Schemas:
    """The schemas of one document.

    Args:
        doc: The document.
        old: Whether it is OpenAPI 3.0, whose schemas are a dialect of their own.
    """

    def __init__(self, doc: Mapping[str, Any], *, old: bool) -> None:
        self.doc, self._old = doc, old

    def resolved(self, value: Any, keys: Keys) -> tuple[Any, Keys]:
        """What a value is once its reference, if it is one, is followed; and the place of that.

        Raises:
            Misshapen: the reference leads nowhere, out of the document, or in a circle.
        """
        followed: list[str] = []
        while isinstance(value, Mapping) and isinstance(value.get("$ref"), str):
            ref = value["$ref"]
            if ref in followed:
                raise Misshapen(f"the reference {ref} leads in a circle", keys)
            followed.append(ref)
            value, keys = self._target(ref, keys)
        return value, keys

    def standalone(self, schema: Any, keys: Keys) -> dict[str, Any]:
        """The schema with everything it refers to under its own ``$defs``.

        Raises:
            Misshapen: a reference leads nowhere, or it is no JSON Schema.
        """
        names: dict[str, str] = {}
        root, place = self.resolved(schema, keys)
        translated = self._translated(root, place, names)
        defs: dict[str, Any] = {}
        while len(defs) < len(names):
            ref, name = list(names.items())[len(defs)]
            target, at = self._target(ref, keys)
            defs[name] = self._translated(target, at, names)
        if defs and isinstance(translated, dict):
            translated["$defs"] = {**translated.get("$defs", {}), **defs}
        return checked(translated, keys)

    def _target(self, ref: str, keys: Keys) -> tuple[Any, Keys]:
        if not ref.startswith("#/"):
            raise Misshapen(
                f"the reference {ref} leads out of the document",
                (*keys, "$ref"),
                allowed="#/… within the document",
                fix="bundle the document into one file",
            )
        value: Any = self.doc
        place: Keys = ()
        for part in ref[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            key: str | int = int(name) if isinstance(value, list) and name.isdigit() else name
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                raise Misshapen(f"the reference {ref} leads nowhere", (*keys, "$ref")) from None
            place = (*place, key)
        return value, place

    def _translated(self, schema: Any, keys: Keys, names: dict[str, str]) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        made = {key: self._member(key, value, (*keys, key), names) for key, value in schema.items()}
        return _modern(made) if self._old else made

    def _member(self, key: str, value: Any, keys: Keys, names: dict[str, str]) -> Any:
        if key == "$ref" and isinstance(value, str):
            if value not in names:
                self._target(value, keys[:-1])
                name = tail = value.rpartition("/")[2]
                while name in names.values():
                    name = f"{tail}_{len(names)}"
                names[value] = name
            return f"#/$defs/{names[value]}"
        if key in _ONE:
            return self._translated(value, keys, names)
        if key in _LISTS and isinstance(value, list):
            return [self._translated(item, (*keys, index), names) for index, item in enumerate(value)]
        if key in _MAPS and isinstance(value, Mapping):
            return {name: self._translated(item, (*keys, name), names) for name, item in value.items()}
        return value


def hoisted(schema: Mapping[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema for a place within an OpenAPI document: its ``$defs`` are moved into ``components``.

    Where one differs from what has its name there, all of them get names of their own.
    """
    definitions = schema.get("$defs", {})
    names = {name: name for name in definitions}
    if any(components.get(name, here) != here for name, here in _pointed(definitions, names).items()):
        number = next(
            n for n in range(2, len(components) + 3) if not any(f"{name}_{n}" in components for name in definitions)
        )
        names = {name: f"{name}_{number}" for name in definitions}
    components.update({names[name]: _pointed(definition, names) for name, definition in definitions.items()})
    pointed: dict[str, Any] = _pointed({key: value for key, value in schema.items() if key != "$defs"}, names)
    return pointed


def _pointed(value: Any, names: Mapping[str, str]) -> Any:
    """The value with its references to ``$defs`` leading to the document's components."""
    if isinstance(value, Mapping):
        return {
            key: f"#/components/schemas/{names[item[8:]]}"
            if key == "$ref" and isinstance(item, str) and item[:8] == "#/$defs/" and item[8:] in names
            else _pointed(item, names)
            for key, item in value.items()
        }
    return [_pointed(item, names) for item in value] if isinstance(value, list) else value


def _modern(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.0's ``nullable`` and boolean exclusive bounds as JSON Schema says them."""
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        exclusive = schema.get(bound)
        if isinstance(exclusive, bool):
            del schema[bound]
            if exclusive and limit in schema:
                schema[bound] = schema.pop(limit)
    if schema.pop("nullable", False) is not True:
        return schema
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        return schema
    return {"anyOf": [schema, {"type": "null"}]}
