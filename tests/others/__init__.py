"""A site with a user model of its own: UUIDs, no staff, no groups, and nobody is ever inactive."""
