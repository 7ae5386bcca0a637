"""Dates of the lists: as text, and a filter by the usual periods of Django, or by two fields."""

from datetime import UTC, datetime, time
from typing import Any

from django.conf import settings
from django.contrib.admin.filters import DateFieldListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import date_format
from django.utils.timezone import is_aware, is_naive, localtime, make_aware

__all__ = ["PeriodFilter", "dates_of", "moment_of", "short_date"]

FIRST, END = "created_at__gte", "created_at__lt"


class PeriodFilter(DateFieldListFilter):
    """Filter by the time at which a message was sent."""

    template = "admin/realtime/period_filter.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in (FIRST, END):
            if text := self.date_params.get(name):
                self.used_parameters[name] = [moment_of(text)]

    def choices(self, changelist: Any) -> Any:
        """Yield the usual periods; each has what the fields of the form need."""
        kept = [
            (name, value)
            for name, value in changelist.get_filters_params().items()
            if not name.startswith(self.field_generic)
        ]
        if changelist.query:
            kept.append(("q", [changelist.query]))
        fields = {
            "first": self.date_params.get(FIRST, "")[:10],
            "end": self.date_params.get(END, "")[:10],
            "kept": [(name, value) for name, values in kept for value in values],
        }
        for choice in super().choices(changelist):
            yield {**choice, **fields}


def short_date(moment: datetime) -> str:
    """Return a time as short text, in the current time zone."""
    return date_format(localtime(moment) if is_aware(moment) else moment, "SHORT_DATETIME_FORMAT")


def dates_of(request: HttpRequest) -> dict[str, datetime]:
    """Return the bounds of the selected period as lookups; empty if there is none."""
    return {name: moment_of(text) for name in (FIRST, END) if (text := request.GET.get(name))}


def moment_of(text: str) -> datetime:
    """Return the time of a text; without a time of day, the beginning of a day."""
    try:
        day = parse_date(text)
        moment = parse_datetime(text) if day is None else datetime.combine(day, time())
    except ValueError:
        moment = None
    if moment is None:
        raise IncorrectLookupParameters
    if settings.USE_TZ and is_naive(moment):
        moment = make_aware(moment)
    try:
        moment.astimezone(UTC)
    except OverflowError:  # at the ends of the years 1 and 9999
        raise IncorrectLookupParameters from None
    return moment
