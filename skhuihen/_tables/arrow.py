"""Types and errors of Arrow."""

from __future__ import annotations

import pyarrow as pa

#: The errors that Arrow raises for objects without a common type.
UNFIT = (pa.ArrowException, OverflowError, TypeError, ValueError)


def without_views(kind: pa.DataType) -> pa.DataType:
    """Return a type without polars' string views, which Arrow cannot filter or take."""
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, without_views(kind.value_type), kind.ordered)
    if pa.types.is_list(kind):
        return pa.list_(without_views(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(without_views(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(without_views(field.type)) for field in kind])
    return kind


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
