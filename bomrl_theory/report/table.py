"""The type of tables."""

from __future__ import annotations

from typing import Any, TypeAlias

Table: TypeAlias = Any
"""A pandas DataFrame. The annotations of pandas leave open what almost every operation returns."""
