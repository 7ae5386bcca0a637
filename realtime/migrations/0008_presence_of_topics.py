from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from ._locks import lock


def lock_presences(apps: Any, schema_editor: Any) -> None:
    """Let no reader of the presences wait long behind this."""
    lock(schema_editor, 'realtime_presence')


def drop_topics(apps: Any, schema_editor: Any) -> None:
    """Before a way back: delete the presences in topics, which the last release does not know."""
    lock_presences(apps, schema_editor)
    presences = apps.get_model('realtime', 'Presence').objects.using(schema_editor.connection.alias)
    presences.filter(room=None).delete()


class Migration(migrations.Migration):

    dependencies = [
        ('realtime', '0007_bound_rooms'),
    ]

    operations = [
        migrations.RunPython(lock_presences, migrations.RunPython.noop, elidable=False),
        migrations.AddField(
            model_name='presence',
            name='topic',
            field=models.CharField(max_length=200, null=True, verbose_name='topic'),
        ),
        migrations.AlterField(
            model_name='presence',
            name='room',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='presences', to='realtime.room', verbose_name='room'),
        ),
        migrations.AddConstraint(
            model_name='presence',
            constraint=models.UniqueConstraint(condition=models.Q(('topic__isnull', False)), fields=('connection', 'topic'), name='realtime_presence_topic_once'),
        ),
        migrations.AddConstraint(
            model_name='presence',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('room__isnull', True), ('topic__isnull', False)), models.Q(('room__isnull', False), ('topic__isnull', True)), _connector='OR'), name='realtime_presence_place'),
        ),
        migrations.AddIndex(
            model_name='presence',
            index=models.Index(condition=models.Q(('topic__isnull', False)), fields=['topic', 'user_key'], name='realtime_presence_topic'),
        ),
        migrations.RunPython(migrations.RunPython.noop, drop_topics, elidable=False),
    ]
