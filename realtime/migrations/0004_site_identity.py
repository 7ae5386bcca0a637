from typing import Any

import realtime.models.access
from django.db import migrations, models


def make_key(apps: Any, schema_editor: Any) -> None:
    """Give the site its random key; a row of an earlier release keeps its counter."""
    rows = apps.get_model('realtime', 'Rights').objects.using(schema_editor.connection.alias)
    key = realtime.models.access.new_site()
    rows.get_or_create(id=1, defaults={'site': key})
    rows.filter(site='').update(site=key)


class Migration(migrations.Migration):

    dependencies = [
        ('realtime', '0003_people'),
    ]

    operations = [
        migrations.AddField(
            model_name='node',
            name='birth',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=120),
        ),
        migrations.AddField(
            model_name='rights',
            name='site',
            field=models.CharField(db_default='', default=realtime.models.access.new_site, editable=False, max_length=32, verbose_name='site key'),
        ),
        migrations.RunPython(make_key, migrations.RunPython.noop, elidable=False),
    ]
