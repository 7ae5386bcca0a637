"""The models that have rows in common: proxies, and parents and children with tables."""

from collections.abc import Iterator

from django.db.models import Model

__all__ = ["are_relatives", "concrete_of", "family", "parents", "same_table"]


def concrete_of(model: type[Model]) -> type[Model]:
    """Return the model that has the table of a model, which may be a proxy."""
    return model._meta.concrete_model or model


def family(model: type[Model]) -> Iterator[type[Model]]:
    """Return a model, its proxies and the models that inherit from it."""
    yield model
    for child in model.__subclasses__():
        yield from family(child)


def same_table(model: type[Model]) -> Iterator[type[Model]]:
    """Return a model with a table, and its proxies."""
    return (one for one in family(model) if concrete_of(one) is model)


def parents(model: type[Model]) -> Iterator[type[Model]]:
    """Return the models with tables that a model inherits from, and their proxies."""
    for parent in model._meta.get_parent_list():
        yield from same_table(parent)


def are_relatives(one: type[Model], other: type[Model]) -> bool:
    """Return whether a row of one model may be one of the other, because one inherits."""
    return issubclass(one, other) or issubclass(other, one)
