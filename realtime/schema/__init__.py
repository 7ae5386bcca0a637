"""Describe what the sockets and topics of a site send and receive, in several languages.

`surface` collects, `components` makes the JSON schema of each struct, and `json_schema`,
`asyncapi` and `typescript` write documents. `manage.py realtime_schema` prints them.
"""
