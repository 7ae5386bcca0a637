"""What decides over access to the whole site."""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = ["RevokedToken", "Rights", "new_site"]


def new_site() -> str:
    """Return a random key for a site."""
    return secrets.token_hex(16)


class Rights(models.Model):
    """One row: how often rights have changed that count in more than one room, and the site's key.

    `site` is made once. A database default lets processes of a release without it write the row.
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
    """A token that is not taken any more, kept for as long as it would have been good."""

    jti = models.CharField(_("token id"), max_length=255, unique=True)
    expires_at = models.DateTimeField(_("good until"), db_index=True)

    class Meta:
        verbose_name = _("revoked token")
        verbose_name_plural = _("revoked tokens")

    def __str__(self) -> str:
        return self.jti
