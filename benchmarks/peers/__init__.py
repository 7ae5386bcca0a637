"""The servers this package is measured against, each built as its own documentation builds it."""
