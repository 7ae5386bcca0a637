"""Rows about the whole site: the counter of rights, and revoked tokens."""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = ["RevokedToken", "Rights", "new_site"]


def new_site() -> str:
    """Return a random key for a site."""
    return secrets.token_hex(16)


class Rights(models.Model):
    """The only row: the number of changes of rights that apply to several rooms, and the site key.

    `site` is made once. Its database default lets processes of an older release insert the row.
    """

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    seq = models.BigIntegerField(_("changes of rights"), default=0)
    site = models.CharField(
        _("site key"), max_length=32, default=new_site, db_default="", editable=False
    )

    class Meta:
        verbose_name = _("rights")
        verbose_name_plural = _("rights")
        constraints = [
            models.CheckConstraint(name="realtime_rights_only", condition=models.Q(id=1))
        ]

    def __str__(self) -> str:
        return str(self.seq)


class RevokedToken(models.Model):
    """A used or revoked token, kept for as long as it would otherwise be valid."""

    jti = models.CharField(_("token id"), max_length=255, unique=True)
    expires_at = models.DateTimeField(_("good until"), db_index=True)

    class Meta:
        verbose_name = _("revoked token")
        verbose_name_plural = _("revoked tokens")

    def __str__(self) -> str:
        return self.jti
