"""The JSON schema of each struct of a site, under a name of its own."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import Struct, inspect

from .names import names_of
from .types import NAMED, Schema, definition, inner_types

__all__ = ["Components", "Schema", "with_prefix"]


class Components(NamedTuple):
    """The names of classes, and the schemas by name. A `$ref` is a plain name."""

    names: dict[Any, str]
    schemas: dict[str, Schema]

    @classmethod
    def of(cls, structs: Iterable[type[Struct]], owners: Iterable[type] = ()) -> "Components":
        """Make the schemas of structs and of all that they contain; `owners` only get names."""
        found: dict[Any, Any] = {}
        for info in inspect.multi_type_info(list(dict.fromkeys(structs))):
            _collect(info, found)
        names = names_of([*found, *owners])
        schemas = {names[one]: definition(info, names) for one, info in found.items()}
        return cls(names, dict(sorted(schemas.items())))


def with_prefix(schema: Any, prefix: str) -> Any:
    """Return a schema whose references begin with a prefix, such as `#/$defs/`."""
    if isinstance(schema, list):
        return [with_prefix(one, prefix) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # A field of a site may be called `$ref` too; it is no text.
    return {
        key: f"{prefix}{value}"
        if key == "$ref" and isinstance(value, str)
        else with_prefix(value, prefix)
        for key, value in schema.items()
    }


def _collect(info: Any, found: dict[Any, Any]) -> None:
    """Find a type and all types in it that have a definition."""
    if isinstance(info, NAMED):
        if info.cls in found:
            return
        found[info.cls] = info
    for inner in inner_types(info):
        _collect(inner, found)
