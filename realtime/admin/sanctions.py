"""The admin of bans and mutes: add, change and lift them."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import ForeignKeyRawIdWidget as RawId
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .. import moderation
from ..models import Membership, Sanction
from ..store.accounts.addresses import network_of
from ..store.accounts.identity import Identity
from ..store.moderation.actions import revoke, target
from ..store.moderation.sanctions import in_force, is_in_force
from ..wire.errors import CommandError
from .dates import short_date
from .large import LargeAdmin, RoomFilter
from .people import named
from .sanction_actions import check_ahead, seconds_until

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Sanction]
else:
    ModelForm = forms.ModelForm

__all__ = ["SanctionAdmin", "SanctionForm"]


class UserWidget(RawId):
    """A widget to search for a user, wide enough for the ids of guests."""

    def get_context(self, *args: Any) -> dict[str, Any]:
        """Return the context with the width of a text field."""
        context = super().get_context(*args)
        context["widget"]["attrs"]["class"] = "vTextField"
        return context


class SanctionForm(ModelForm):
    """A sanction against a user or guest, an address, or both."""

    class Meta:
        model = Sanction
        fields = ("kind", "user_key", "address", "room", "reason", "ends_at")
        widgets = {
            "user_key": UserWidget(Membership._meta.get_field("user").remote_field, admin.site),
        }
        help_texts = {
            "user_key": _("The id of a user, or that of a guest as the list of clients shows it."),
            "reason": _("The user sees it."),
        }

    def clean_user_key(self) -> str:
        """Return the canonical `user_id` of a guest or an existing user."""
        key: str = self.cleaned_data["user_key"]
        if not key:
            return key
        try:
            return target(key)
        except CommandError:
            raise ValidationError(_("There is no such user.")) from None

    def clean_address(self) -> str:
        """Return the network of the address; for IPv6 the /64."""
        address: str = self.cleaned_data["address"]
        try:
            found = network_of(address.removesuffix("/64"))
        except ValueError:
            raise ValidationError(_("This is no IPv4 or IPv6 address.")) from None
        if address and not found:
            raise ValidationError(
                _(
                    "This may be the address of a proxy, from which all users come. "
                    "With proxies of your own, set TRUSTED_PROXIES."
                )
            )
        return found

    def clean_ends_at(self) -> datetime | None:
        """Refuse an end in the past, unless it is unchanged."""
        moment: datetime | None = self.cleaned_data["ends_at"]
        if moment is not None and "ends_at" in self.changed_data:
            check_ahead(moment)
        return moment

    def clean(self) -> dict[str, Any]:
        """Require a user or an address."""
        found = super().clean() or self.cleaned_data
        has_target = self.instance.pk or self.errors or found["user_key"] or found["address"]
        if not has_target:
            raise ValidationError(_("Name a user or an address."))
        return found

    def _get_validation_exclusions(self) -> set[str]:
        # An existing sanction is replaced, not refused as a duplicate.
        return {*super()._get_validation_exclusions(), "kind", "user_key"}  # type: ignore[misc]


class ForceFilter(admin.SimpleListFilter):
    """Filter sanctions in force, or ended ones."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the two states."""
        return [("now", _("in force")), ("over", _("over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Sanction]) -> QuerySet[Sanction]:
        """Return the sanctions of the selected state."""
        match self.value():
            case "now":
                return queryset.filter(in_force())
            case "over":
                return queryset.exclude(in_force())
        return queryset


class ScopeFilter(RoomFilter):
    """Filter by one room, or site-wide sanctions."""

    site = 0

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the whole site, and the first rooms."""
        return [(str(self.site), str(_("the whole site"))), *super().lookups(request, model_admin)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the sanctions of the selected room, or site-wide ones."""
        if self.chosen() == self.site:
            return queryset.filter(room=None)
        return super().queryset(request, queryset)


@admin.register(Sanction)
class SanctionAdmin(LargeAdmin):
    """Bans and mutes, added and lifted through `realtime.moderation`.

    That writes its own entries into the admin's log; those of changes are written by the admin.
    """

    form = SanctionForm
    list_display = (
        "kind",
        "user_or_address",
        "scope",
        "is_in_force",
        "until",
        "reason",
        "by",
        "created_at",
    )
    list_filter = ("kind", ForceFilter, ScopeFilter)
    list_display_links = ("kind", "user_or_address")
    list_select_related = ("room", "by")
    search_fields = ("username", "=user_key", "=address", "reason")
    raw_id_fields = ("room",)
    ordering = ("-pk",)
    sortable_by = ()

    def get_fields(self, request: HttpRequest, obj: Sanction | None = None) -> tuple[str, ...]:
        """Return the fields; the target and the scope are not shown twice."""
        if obj is None:
            return ("kind", "user_key", "address", "room", "reason", "ends_at")
        known = ("kind", "username", "user_key", "address", "scope")
        return (*known, "reason", "ends_at", "by", "created_at", "is_in_force")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Sanction | None = None
    ) -> tuple[str, ...]:
        """Return all fields except the reason and the end."""
        fields = self.get_fields(request, obj)
        return () if obj is None else tuple(set(fields) - {"reason", "ends_at"})

    def save_model(self, request: HttpRequest, obj: Sanction, form: Any, change: bool) -> None:
        """Ban or mute, or change the end and the reason."""
        if change:
            super().save_model(request, obj, form, change)
            return
        act = moderation.ban if obj.kind == Sanction.Kind.BAN else moderation.mute
        [made] = act(
            obj.room,
            obj.user_key or None,
            addresses={obj.address} - {""},
            seconds=seconds_until(obj.ends_at),
            reason=obj.reason,
            by=request.user,
        )
        obj.pk = made.pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: Sanction) -> None:
        """Lift a sanction."""
        revoke([obj], Identity.of(request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Sanction]) -> None:
        """Lift the selected sanctions."""
        revoke(queryset, Identity.of(request.user))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Do nothing: the moderation code has written the entry."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Do nothing: the moderation code writes the entries."""

    @admin.display(description=_("user or address"))
    def user_or_address(self, sanction: Sanction) -> str:
        """Return the user or guest, and the address."""
        return " · ".join(
            filter(None, [named(sanction.username, sanction.user_key), sanction.address])
        )

    @admin.display(description=_("room"))
    def scope(self, sanction: Sanction) -> str:
        """Return the room, or the whole site."""
        return str(_("the whole site") if sanction.room is None else sanction.room)

    @admin.display(description=_("until"))
    def until(self, sanction: Sanction) -> str:
        """Return the end."""
        if sanction.ends_at is None:
            return str(_("for good"))
        return short_date(sanction.ends_at)

    @admin.display(description=_("in force"), boolean=True)
    def is_in_force(self, sanction: Sanction) -> bool:
        """Return whether the sanction has not ended."""
        return is_in_force(sanction)
