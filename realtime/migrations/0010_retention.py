from typing import Any

import django.core.validators
from django.db import migrations, models

from ._locks import lock


def lock_rooms(apps: Any, schema_editor: Any) -> None:
    """Let no reader of the rooms wait long behind this."""
    lock(schema_editor, 'realtime_room')


class Migration(migrations.Migration):

    dependencies = [
        ('realtime', '0009_occupied_topics'),
    ]

    operations = [
        migrations.RunPython(lock_rooms, migrations.RunPython.noop, elidable=False),
        migrations.AddField(
            model_name='room',
            name='is_held',
            field=models.BooleanField(db_default=False, default=False, help_text='Age and erasing remove no message; senders and moderators still can.', verbose_name='legal hold'),
        ),
        migrations.AddField(
            model_name='room',
            name='keep_days',
            field=models.PositiveIntegerField(blank=True, help_text='Older messages are removed. Empty: the default of the site.', null=True, validators=[django.core.validators.MinValueValidator(7)], verbose_name='days of messages'),
        ),
    ]
