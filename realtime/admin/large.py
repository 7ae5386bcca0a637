"""Lists that stay fast with any number of rows, and read-only pages."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db import router
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import Room
from ..store.database.primary import on_primary

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

__all__ = ["BoundedPaginator", "LargeAdmin", "MoreThan", "ReadOnlyAdmin", "RoomFilter"]


class MoreThan(int):
    """A lower bound of the number of rows, which a page shows as such."""

    def __str__(self) -> str:
        """Return "more than …", or ">…" if Django would put separators between all characters."""
        if settings.USE_THOUSAND_SEPARATOR:
            return f">{int(self)}"
        return gettext("more than %s") % f"{int(self):,}"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most `most` rows; rows beyond are found by filters."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or `MoreThan` if there are more than `most`."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        found = rows.order_by()[: self.most + 1].count()
        return found if found <= self.most else MoreThan(self.most)


class LargeActionForm(ActionForm):
    """The list of actions, with the attribute by which Unfold shows its button."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["action"].widget.attrs["x-model"] = "action"


class LargeAdmin(ModelAdmin):
    """A list that never counts or sorts a whole table."""

    paginator = BoundedPaginator
    action_form = LargeActionForm
    show_full_result_count = False
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the primary database: an action on a replica could miss some."""
        return super().get_queryset(request).using(router.db_for_write(self.model))

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the list, or run an action, on the primary database."""
        return on_primary(super().changelist_view, request, *args, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show or save one row, on the primary database."""
        return on_primary(super().changeform_view, request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Confirm and delete one row, on the primary database."""
        return on_primary(super().delete_view, request, *args, **kwargs)


class ReadOnlyAdmin(LargeAdmin):
    """Rows that only the protocol writes."""

    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False; users who may view see the fields."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False."""
        return False


class RoomFilter(admin.SimpleListFilter):
    """Filter by a room: the first ones by name, others by the link in the list of rooms."""

    title = _("room")
    parameter_name = "room"
    shown = 20

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the first rooms, and the selected one."""
        rooms = list(Room.objects.order_by("slug")[: self.shown])
        chosen = self.chosen()
        if chosen is not None and chosen not in {room.pk for room in rooms}:
            rooms += Room.objects.filter(pk=chosen)
        return [(str(room.pk), str(room)) for room in rooms]

    def has_output(self) -> bool:
        """Return whether there is a choice, or a selected room."""
        return self.chosen() is not None or super().has_output()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the selected room."""
        chosen = self.chosen()
        return queryset if chosen is None else queryset.filter(Q(room=chosen))

    def chosen(self) -> int | None:
        """Return the primary key in the URL, or None; raises `IncorrectLookupParameters`."""
        value = self.value()
        if value is None:
            return None
        if not value.isdecimal() or len(value) > 18:
            raise IncorrectLookupParameters
        return int(value)
