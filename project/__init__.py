"""The demo: a chat site made of `realtime`, Django's own auth and admin, and two pages."""
