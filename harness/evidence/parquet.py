"""Parquet files of a known schema, read only if they are what they should be and as large as they say.

A file may come from a stranger. Its footer is judged before anything is allocated for its rows: a few bytes can claim
billions of rows, or rows that all repeat one huge text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.errors import BadRun, TornFile

MAX_ROWS = 50_000_000
"""Rows of one file; a chunk of 50,000 samples under a cascade of four at 20 epsilons has 5 million."""
MAX_BYTES = 1 << 32
"""Bytes of one file's columns, uncompressed."""
_LIMITS: dict[str, Any] = {"thrift_string_size_limit": 1 << 24, "thrift_container_size_limit": 1 << 20}


def write(path: Path, table: pa.Table, **options: Any) -> None:
    """Write `table`, zstd-compressed and with a checksum on every page (not atomically; see `harness.base.files`)."""
    pq.write_table(table, path, compression="zstd", write_page_checksum=True, **options)


def read(path: Path, schemas: Sequence[pa.Schema], key: str, what: str) -> pa.Table:
    """The table in `path`, with the metadata of the file.

    Args:
        path: The file.
        schemas: Columns and types, one of which it must have; all of one version.
        key: Name of the schemas' version in the file's metadata.
        what: What the file is, for messages.

    Raises:
        BadRun: of another schema or version, or too large.
        TornFile: not parquet, torn, or with bytes that are not those that were written.
    """
    expected = (schemas[0].metadata or {})[key.encode()].decode()
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, **_LIMITS) as file:
            found = file.schema_arrow
            version = (found.metadata or {}).get(key.encode(), b"?").decode(errors="replace")
            schema = next((one for one in schemas if found.equals(one)), None)
            if version != expected or schema is None:
                raise BadRun(
                    f"{path} holds {what} of schema {version!r:.40}, expected {expected}; use the version that wrote it"
                )
            _refuse_bombs(file.metadata, path, what)
        texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_binary(field.type)]
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=texts, **_LIMITS) as file:
            table = file.read(use_threads=False)
        for name in texts:
            table = _plain(table, name, path, what)
        table = table.cast(schema)
        table.validate(full=True)
        return table.replace_schema_metadata(found.metadata)
    except (OSError, pa.ArrowException, MemoryError, OverflowError, UnicodeDecodeError) as error:
        raise TornFile(f"{path} is not a readable {what} file: {type(error).__name__}: {str(error)[:200]}") from None


def is_whole(path: Path) -> bool:
    """Whether the file ends as a parquet file does: a torn one lacks its footer."""
    try:
        with pq.ParquetFile(path, **_LIMITS):
            return True
    except (OSError, pa.ArrowException, MemoryError, OverflowError):
        return False


def _refuse_bombs(metadata: pq.FileMetaData, path: Path, what: str) -> None:
    # Only totals are asked for: pyarrow's accessors of single columns abort the process on some damaged footers.
    size = sum(max(0, metadata.row_group(group).total_byte_size) for group in range(metadata.num_row_groups))
    if metadata.num_rows > MAX_ROWS or size > MAX_BYTES:
        raise BadRun(
            f"{path} holds {metadata.num_rows:,} rows of {what} in {size:,} bytes, more than the {MAX_ROWS:,} rows or"
            f" {MAX_BYTES:,} bytes that one file may have; it was not written by the harness"
        )


def _plain(table: pa.Table, name: str, path: Path, what: str) -> pa.Table:
    """Column `name` with its values written out, unless one huge value is repeated until memory is full."""
    column = table[name]
    size = sum(
        pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0 for chunk in column.chunks
    )
    if size > MAX_BYTES:
        raise BadRun(f"{path} holds {what} whose column {name} has {size:,} bytes; it was not written by the harness")
    return table.set_column(table.schema.get_field_index(name), name, column.cast(column.type.value_type))
