"""The JSON Schema (draft 2020-12) of types, from their description by `msgspec.inspect`.

`msgspec.json.schema` makes the same, but it refuses a struct with a default that has no JSON, as
the entries of topics have it. A `$ref` is a plain name here.
"""

from collections.abc import Callable, Iterable, Mapping
from inspect import cleandoc
from typing import Any, Final

import msgspec
from msgspec import inspect
from msgspec.inspect import Type

__all__ = ["NAMED", "Schema", "definition", "inner_types", "schema_of"]

Schema = dict[str, Any]
NAMED: Final = (
    inspect.StructType,
    inspect.TypedDictType,
    inspect.DataclassType,
    inspect.NamedTupleType,
    inspect.EnumType,
)
"""The types that have a definition of their own; others stand where they are used."""
PLAIN: Final[dict[type[Type], Schema]] = {
    inspect.AnyType: {},
    inspect.RawType: {},
    inspect.NoneType: {"type": "null"},
    inspect.BoolType: {"type": "boolean"},
    inspect.IntType: {"type": "integer"},
    inspect.FloatType: {"type": "number"},
    inspect.StrType: {"type": "string"},
    inspect.BytesType: {"type": "string", "contentEncoding": "base64"},
    inspect.ByteArrayType: {"type": "string", "contentEncoding": "base64"},
    inspect.MemoryViewType: {"type": "string", "contentEncoding": "base64"},
    inspect.DateTimeType: {"type": "string", "format": "date-time"},
    inspect.TimeType: {"type": "string", "format": "time"},
    inspect.DateType: {"type": "string", "format": "date"},
    inspect.TimeDeltaType: {"type": "string", "format": "duration"},
    inspect.UUIDType: {"type": "string", "format": "uuid"},
    inspect.DecimalType: {"type": "string", "format": "decimal"},
}
BOUNDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
LENGTHS: Final = {"string": "Length", "array": "Items", "object": "Properties"}
FACTORIES: Final = (list, dict, set)


def schema_of(info: Type, names: Mapping[Any, str]) -> Schema:
    """Return the schema of a type; one that has a definition is referred to by its name."""
    if isinstance(info, inspect.Metadata):
        return schema_of(info.type, names) | (info.extra_json_schema or {})
    if isinstance(info, NAMED):
        return {"$ref": names[info.cls]}
    if isinstance(info, inspect.LiteralType):
        return {"enum": list(info.values)}
    if isinstance(info, inspect.UnionType):
        return {"anyOf": [schema_of(one, names) for one in info.types]}
    if isinstance(info, inspect.CustomType):
        return {"description": f"A value of {info.cls.__module__}.{info.cls.__qualname__}."}
    found = PLAIN.get(type(info))
    return _bounded(info, _collection(info, names) if found is None else dict(found))


def definition(info: Any, names: Mapping[Any, str]) -> Schema:
    """Return the schema of a struct, an enumeration or a type like these, with its docstring."""
    found: Schema = {"description": text} if (text := _doc(info)) else {}
    if isinstance(info, inspect.EnumType):
        return found | {"enum": sorted(one.value for one in info.cls)}
    if isinstance(info, inspect.NamedTupleType) or getattr(info, "array_like", False):
        return found | _places(info, names)
    return found | _fields(info, names)


def _collection(info: Any, names: Mapping[Any, str]) -> Schema:
    if isinstance(info, inspect.CollectionType):
        found: Schema = {"type": "array"} | _unless_any("items", info.item_type, names)
        is_set = isinstance(info, inspect.SetType | inspect.FrozenSetType)
        return found | ({"uniqueItems": True} if is_set else {})
    if isinstance(info, inspect.TupleType):
        return _tuple([schema_of(one, names) for one in info.item_types])
    if isinstance(info, inspect.DictType):
        return {"type": "object"} | _unless_any("additionalProperties", info.value_type, names)
    raise TypeError(f"{info!r} has no JSON")


def _unless_any(key: str, info: Type, names: Mapping[Any, str]) -> Schema:
    return {} if isinstance(info, inspect.AnyType) else {key: schema_of(info, names)}


def _tuple(places: list[Schema]) -> Schema:
    size = {"type": "array", "minItems": len(places), "maxItems": len(places)}
    return size | ({"prefixItems": places, "items": False} if places else {})


def _bounded(info: Type, schema: Schema) -> Schema:
    """Add the limits of `msgspec.Meta`."""
    for name, key in BOUNDS.items():
        if (bound := getattr(info, name, None)) is not None:
            schema[key] = bound
    is_encoded = "contentEncoding" in schema
    for name, start in (("max_length", "max"), ("min_length", "min")):
        if (length := getattr(info, name, None)) is not None:
            size = 4 * ((length + 2) // 3) if is_encoded else length
            schema[start + LENGTHS[schema["type"]]] = size
    return schema


def _fields(info: Any, names: Mapping[Any, str]) -> Schema:
    """Return the schema of an object. A field that may be left out is not required."""
    tag_field = getattr(info, "tag_field", None)
    fields: Schema = {} if tag_field is None else {tag_field: {"enum": [info.tag]}}
    required = list(fields)
    leaves_out = _omits_defaults(info.cls)
    for one in info.fields:
        fields[one.encode_name] = _field(one, names, is_left_out=leaves_out)
        if one.required:
            required.append(one.encode_name)
    found = {"type": "object", "properties": fields, "required": required}
    is_closed = getattr(info, "forbid_unknown_fields", False)
    return found | ({"additionalProperties": False} if is_closed else {})


def _places(info: Any, names: Mapping[Any, str]) -> Schema:
    """Return the schema of a struct that is written as an array."""
    tag = [] if getattr(info, "tag", None) is None else [{"enum": [info.tag]}]
    places = [*tag, *(_field(one, names, is_left_out=False) for one in info.fields)]
    least = len(places)
    for one in reversed(info.fields):
        if one.required:
            break
        least -= 1
    found: Schema = {"type": "array", "prefixItems": places, "minItems": least}
    is_closed = getattr(info, "forbid_unknown_fields", True)
    return found | ({"maxItems": len(places)} if is_closed else {})


def _field(field: inspect.Field, names: Mapping[Any, str], *, is_left_out: bool) -> Schema:
    """Return the schema of a field; None is no value of a field that is left out if it is None."""
    if is_left_out and not field.required and field.default is None:
        return _without_null(schema_of(field.type, names))
    return schema_of(field.type, names) | _default(field)


def _without_null(schema: Schema) -> Schema:
    if "anyOf" not in schema:
        return schema
    options = [one for one in schema.pop("anyOf") if one != {"type": "null"}]
    return schema | (options[0] if len(options) == 1 else {"anyOf": options})


def _default(field: inspect.Field) -> Schema:
    """Return the default of a field as JSON, if it has one that can be written."""
    factory: Callable[[], Any] | object = field.default_factory
    value = factory() if factory in FACTORIES and callable(factory) else field.default
    if value is msgspec.NODEFAULT or value is msgspec.UNSET:
        return {}
    try:
        return {"default": msgspec.to_builtins(value, str_keys=True)}
    except TypeError:
        return {}


def _omits_defaults(one: Any) -> bool:
    config = getattr(one, "__struct_config__", None)
    return config is not None and bool(config.omit_defaults)


def _doc(info: Any) -> str:
    """Return the docstring of a class, unless Python has made it."""
    cls = getattr(info.cls, "__origin__", info.cls)
    text = vars(cls).get("__doc__") or ""
    is_made = text.startswith(f"{cls.__name__}(") or text == "An enumeration."
    return "" if is_made else cleandoc(text)


def inner_types(info: Type) -> Iterable[Type]:
    """Return the types that a type contains."""
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for part in value if isinstance(value, tuple) else (value,):
            inner = part.type if isinstance(part, inspect.Field) else part
            if isinstance(inner, Type):
                yield inner
