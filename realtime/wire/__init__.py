"""Wire protocol v1 as pure code: structs, encodings, errors, positions, limits.

Nothing here knows Django, Channels or a socket; time is always an argument.
"""
