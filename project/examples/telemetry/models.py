"""The tables of devices and of what they have measured."""

from hashlib import sha256

from django.db import models
from django.utils.crypto import get_random_string

__all__ = ["Device", "Measurement"]

TOKEN_CHARACTERS = 43


class Device(models.Model):
    """A device; the database knows only the digest of its token."""

    name = models.CharField(max_length=40, unique=True)
    digest = models.CharField(max_length=64, unique=True)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def make(cls, name: str) -> tuple["Device", str]:
        """Add a device; return it and its token, which is shown only now."""
        token = get_random_string(TOKEN_CHARACTERS)
        return cls.objects.create(name=name, digest=digest_of(token)), token

    @classmethod
    async def with_token(cls, token: str) -> "Device | None":
        """Return the device that has a token."""
        return await cls.objects.filter(digest=digest_of(token)).afirst()


class Measurement(models.Model):
    """A measurement of a device at one time."""

    device = models.ForeignKey(Device, models.CASCADE, related_name="measurements")
    celsius = models.FloatField()
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.device}: {self.celsius} °C"


def digest_of(token: str) -> str:
    """Return the digest of a token; it is random, so it needs no salt."""
    return sha256(token.encode()).hexdigest()
