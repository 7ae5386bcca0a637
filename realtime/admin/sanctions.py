"""Who is kept out or quiet: bans and mutes, made, changed and lifted."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import ForeignKeyRawIdWidget as RawId
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext_lazy as _

from .. import moderation
from ..models import Membership, Sanction
from ..store.accounts.addresses import network_of
from ..store.accounts.identity import Identity
from ..store.moderation.actions import revoke, target
from ..store.moderation.sanctions import in_force, is_in_force
from ..wire.errors import CommandError
from .large import LargeAdmin, RoomFilter
from .people import named
from .sanction_actions import check_ahead, seconds_until

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Sanction]
else:
    ModelForm = forms.ModelForm

__all__ = ["SanctionAdmin", "SanctionForm"]


class UserWidget(RawId):
    """To look a user up, with room for the long ids of guests."""

    def get_context(self, *args: Any) -> dict[str, Any]:
        """As wide as any text."""
        context = super().get_context(*args)
        context["widget"]["attrs"]["class"] = "vTextField"
        return context


class SanctionForm(ModelForm):
    """Whom it is against: a user or guest, an address, or both."""

    class Meta:
        model = Sanction
        fields = ("kind", "user_key", "address", "room", "reason", "ends_at")
        widgets = {
            "user_key": UserWidget(Membership._meta.get_field("user").remote_field, admin.site),
        }
        help_texts = {
            "user_key": _("The id of a user, or that of a guest as the list of clients shows it."),
            "reason": _("They are told."),
        }

    def clean_user_key(self) -> str:
        """The `user_id` of a guest, or of a user that there is."""
        key: str = self.cleaned_data["user_key"]
        if not key:
            return key
        try:
            return target(key)
        except CommandError:
            raise ValidationError(_("There is no such user.")) from None

    def clean_address(self) -> str:
        """The address as it is counted; of IPv6 the /64."""
        address: str = self.cleaned_data["address"]
        try:
            found = network_of(address.removesuffix("/64"))
        except ValueError:
            raise ValidationError(_("This is no IPv4 or IPv6 address.")) from None
        if address and not found:
            raise ValidationError(
                _(
                    "This may be the address of a proxy, where everybody comes from. "
                    "With proxies of your own, set TRUSTED_PROXIES."
                )
            )
        return found

    def clean_ends_at(self) -> datetime | None:
        """An end that is ahead, unless it stays as it was."""
        moment: datetime | None = self.cleaned_data["ends_at"]
        if moment is not None and "ends_at" in self.changed_data:
            check_ahead(moment)
        return moment

    def clean(self) -> dict[str, Any]:
        """Somebody has to be meant."""
        found = super().clean() or self.cleaned_data
        is_somebody = self.instance.pk or self.errors or found["user_key"] or found["address"]
        if not is_somebody:
            raise ValidationError(_("Name a user or an address."))
        return found

    def _get_validation_exclusions(self) -> set[str]:
        # One that is there already is replaced, not refused.
        return {*super()._get_validation_exclusions(), "kind", "user_key"}  # type: ignore[misc]


class ForceFilter(admin.SimpleListFilter):
    """What counts now, or what is over."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The two."""
        return [("now", _("in force")), ("over", _("over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Sanction]) -> QuerySet[Sanction]:
        """Those of the state."""
        match self.value():
            case "now":
                return queryset.filter(in_force())
            case "over":
                return queryset.exclude(in_force())
        return queryset


class PlaceFilter(RoomFilter):
    """One room, or what counts in all."""

    site = 0

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The whole site, and the rooms on offer."""
        return [(str(self.site), str(_("the whole site"))), *super().lookups(request, model_admin)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Only what belongs there."""
        if self.chosen() == self.site:
            return queryset.filter(room=None)
        return super().queryset(request, queryset)


@admin.register(Sanction)
class SanctionAdmin(LargeAdmin):
    """Bans and mutes: made, changed and lifted here as `realtime.moderation` does it.

    Making and lifting note themselves in the admin's log, changing is noted by the admin.
    """

    form = SanctionForm
    list_display = (
        "kind",
        "whom",
        "place",
        "is_in_force",
        "until",
        "reason",
        "by",
        "created_at",
    )
    list_filter = ("kind", ForceFilter, PlaceFilter)
    list_display_links = ("kind", "whom")
    list_select_related = ("room", "by")
    search_fields = ("username", "=user_key", "=address", "reason")
    raw_id_fields = ("room",)
    ordering = ("-pk",)
    sortable_by = ()

    def get_fields(self, request: HttpRequest, obj: Sanction | None = None) -> tuple[str, ...]:
        """Whom and where is said once."""
        if obj is None:
            return ("kind", "user_key", "address", "room", "reason", "ends_at")
        known = ("kind", "username", "user_key", "address", "place")
        return (*known, "reason", "ends_at", "by", "created_at", "is_in_force")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Sanction | None = None
    ) -> tuple[str, ...]:
        """All but the reason and the end."""
        fields = self.get_fields(request, obj)
        return () if obj is None else tuple(set(fields) - {"reason", "ends_at"})

    def save_model(self, request: HttpRequest, obj: Sanction, form: Any, change: bool) -> None:
        """Ban or mute, or change until when and why."""
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
        """Lift it."""
        revoke([obj], Identity.of(request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Sanction]) -> None:
        """Lift them."""
        revoke(queryset, Identity.of(request.user))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing: it has noted itself."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Nothing: they note themselves."""

    @admin.display(description=_("whom"))
    def whom(self, sanction: Sanction) -> str:
        """The user or guest, and the address."""
        return " · ".join(
            filter(None, [named(sanction.username, sanction.user_key), sanction.address])
        )

    @admin.display(description=_("room"))
    def place(self, sanction: Sanction) -> str:
        """Where it counts."""
        return str(_("the whole site") if sanction.room is None else sanction.room)

    @admin.display(description=_("until"))
    def until(self, sanction: Sanction) -> str:
        """Its end."""
        if sanction.ends_at is None:
            return str(_("for good"))
        moment = localtime(sanction.ends_at) if is_aware(sanction.ends_at) else sanction.ends_at
        return date_format(moment, "SHORT_DATETIME_FORMAT")

    @admin.display(description=_("in force"), boolean=True)
    def is_in_force(self, sanction: Sanction) -> bool:
        """Whether it is not over."""
        return is_in_force(sanction)
