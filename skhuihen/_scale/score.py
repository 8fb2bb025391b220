"""Scoring tables larger than memory: Parquet by file, queries in batches, Spark in place.

A fitted model scores every kind of table in batches of Arrow (`ArrowModel`). Only the columns that
identify an application are kept next to its probability.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.exceptions import NotFittedError
from tqdm.auto import tqdm

from skhuihen._events.frames import refuse_series
from skhuihen._tables.ibis import batches_of, connections_of, is_ibis
from skhuihen._tables.parquet import (
    ParquetPath,
    ParquetTable,
    as_pandas,
    cast_columns,
    is_list_of_structs,
    is_parquet,
)
from skhuihen._tables.parts import begun_parts, check_output, part_name, work_folder, writing
from skhuihen._tables.spark import (
    is_spark_frame,
    spark_frame,
    spark_of,
    spark_types,
    write_spark,
)
from skhuihen.preprocessing._abstraction.rules import FIELDS

#: Applications per batch; larger batches are not faster and need more memory.
_BATCH = 1024
#: Applications of a finished part that are scored again to check that the model is the same.
_CHECKED = 64
_TOLERANCE = 1e-6
#: Metadata keys of a part for its source file and the hash of the model file.
_NOTE, _MODEL = b"skhuihen", b"skhuihen_model"


def score_table(
    model: Any,
    table: Any,
    output: str | Path | None = None,
    *,
    columns: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    name: str = "probability",
    verbose: int = 0,
) -> Any:
    """Score a table larger than memory with a fitted model.

    Parameters
    ----------
    model : fitted classifier or Pipeline, or path
        A binary classifier with `predict_proba`, or the path of a file written by `save_model`.
        With a path, each file of ``output`` records the hash of the model file.
    table : table with one row per application
        Parquet (a path, a glob, a folder or a list of files), an Ibis table, or a Spark DataFrame.
    output : path, default=None
        A folder to write the scores to as Parquet: one file per file of ``table``, or the files
        that Spark writes. None: return the scores.
    columns : sequence of str, default=None
        The columns to pass to the model, in this order, usually those of `fit`. None: all columns
        except those that pandas recorded as an index.
    keep : sequence of str, default=None
        The columns to keep next to the probability. None: those of the classifier's ``id_columns``
        and ``applied_at`` that ``table`` has.
    name : str, default="probability"
        The name of the column with the probability of ``model.classes_[1]``.
    verbose : int, default=0
        1 shows a progress bar over the applications; Spark shows its own.

    Returns
    -------
    scores : DataFrame, Path, Ibis table or Spark DataFrame of shape (n_applications, n_ids + 1)
        The columns ``keep`` and ``name``, the latter as float64. With ``output``, the path of that
        folder. Otherwise an unexecuted table of the same kind for Spark, and a DataFrame for
        others. Parquet keeps its row order.

    Raises
    ------
    ValueError, TypeError
        If the table does not fit the model, before any row is scored. Also if a file cannot be
        read or scored; the message names the file.
    FileExistsError
        If ``output``, or what an unfinished run left, belongs to another model or table.
    FileNotFoundError
        If a path does not lead to a Parquet file, or the parent folder of ``output`` does not
        exist.

    See Also
    --------
    attach_behaviors : Makes such a table.

    Notes
    -----
    The probabilities equal those of ``model.predict_proba`` to 1e-6. Memory holds 1,024
    applications at a time. Spark's workers need this package, and each task loads the model again.

    Before any work, the model scores one made-up row with the types of the table. If the model
    rejects this row, the whole table is rejected. The columns of all files are compared.

    ``output`` appears only when it is complete. Until then finished parts wait next to it in
    ``<output>.unfinished``. If a run fails for any reason, the same call continues where it
    stopped; with a complete ``output`` it does nothing. A part is reused if it records the same
    file (name, size and modification time) and the same model file, and its first 64 applications
    score the same again. Otherwise the call is rejected. A model in memory records nothing: it
    reuses no part of a model file, and only those applications tell two models in memory apart. So
    pass a path if a run may be interrupted. Queries and Spark cannot continue from parts.

    Weekdays depend on the time zone of the times. Spark uses the time zone of its session, which
    Ibis sets to UTC. If the model was fitted on times in another time zone, pass it in
    ``Sessionizer(time_zone=...)``.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhuihen import HUIHENClassifier, Sessionizer, attach_behaviors, score_table
    >>> from skhuihen.datasets import make_loan_data
    >>> bank = make_loan_data(n_new=100, n_old=0, random_state=0)
    >>> folder = f"{mkdtemp()}/attached"
    >>> _ = attach_behaviors(bank.applications, bank.events, output=folder, n_partitions=2)
    >>> X = attach_behaviors(bank.applications, bank.events)
    >>> model = make_pipeline(Sessionizer(), HUIHENClassifier(max_epochs=1, random_state=0))
    >>> scores = score_table(model.fit(X, bank.y), folder)
    >>> scores.columns.to_list()
    ['user_id', 'application_id', 'applied_at', 'probability']
    >>> bool(abs(scores["probability"] - model.predict_proba(X)[:, 1]).max() < 1e-6)
    True
    """
    sha256 = None
    if isinstance(model, str | Path):
        from skhuihen.persistence import load_model, read_manifest

        sha256 = read_manifest(model)["sha256"]
        model = load_model(model, sha256=sha256)
    request = _Request(model, columns, keep, name, sha256)
    if is_parquet(table):
        return _score_parquet(request, table, output, verbose)
    folder = check_output(output)
    if is_ibis(table):
        spark = spark_of(connections_of(table))
        if spark is None:
            return _score_query(request, table, folder, verbose)
        scored = _score_on_spark(request, spark_frame(spark, table))
        if folder is None:
            view = f"skhuihen_scores_{uuid.uuid4().hex}"
            scored.createTempView(view)
            return spark.table(view)
        return write_spark(scored, folder)
    if is_spark_frame(table):
        scored = _score_on_spark(request, table)
        return scored if folder is None else write_spark(scored, folder)
    refuse_series(table, "table")
    raise TypeError(
        f"table is a {type(table).__name__}; it must be a path to Parquet files, an Ibis table or "
        "a Spark DataFrame. Use model.predict_proba(table) for a table in memory."
    )


@dataclass(frozen=True)
class ArrowModel:
    """A fitted model with its input columns and the columns to keep.

    Parameters
    ----------
    model : fitted classifier
    columns : sequence of str
        The columns passed to the model.
    ids : sequence of str
        The columns to keep.
    name : str
        The name of the new column.
    sha256 : str, default=None
        The hash of the model file.
    """

    model: Any
    columns: Sequence[str]
    ids: Sequence[str]
    name: str
    sha256: str | None = None

    @property
    def read(self) -> list[str]:
        """The columns to read from a table."""
        return list(dict.fromkeys([*self.columns, *self.ids]))

    def probabilities(self, table: pa.Table) -> np.ndarray:
        """Return the probability of the second class, as float64."""
        X = as_pandas(table.select(self.columns))
        return self.model.predict_proba(X)[:, 1].astype(np.float64)

    def score(self, table: pa.Table) -> pa.Table:
        """Return the identifiers and probabilities of the rows."""
        scores = pa.array(self.probabilities(table))
        return table.select(self.ids).append_column(self.name, scores)

    def score_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score batch by batch, as Spark's workers require."""
        for whole in batches:
            for batch in _as_table(whole).to_batches(_BATCH):
                yield from self.score(_as_table(batch)).to_batches()


# --------------------------------------------------------------------------------------------------
# Checks of the arguments and of the table's schema.


@dataclass(frozen=True)
class _Request:
    """The arguments of the call, before the table's columns are known."""

    model: Any
    columns: Sequence[str] | None
    keep: Sequence[str] | None
    name: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not callable(getattr(self.model, "predict_proba", None)):
            raise TypeError(
                f"model is a {type(self.model).__name__} without predict_proba; it must be a "
                "fitted classifier or a Pipeline that ends in one."
            )
        for parameter in ("columns", "keep"):
            value = getattr(self, parameter)
            if isinstance(value, str):
                raise TypeError(
                    f"{parameter} is the string {value!r}; it must be a list: [{value!r}]."
                )

    def prepare(self, schema: pa.Schema) -> ArrowModel:
        """Return a model for tables of this schema, or raise an error if they do not fit."""
        model = self.bind(schema)
        self.check(model, schema)
        return model

    def bind(self, schema: pa.Schema) -> ArrowModel:
        """Choose the columns."""
        notes = schema.pandas_metadata or {"index_columns": []}
        columns = [name for name in schema.names if name not in notes["index_columns"]]
        if self.columns is not None:
            columns = self._known(self.columns, "columns", schema)
        return ArrowModel(self.model, columns, self._ids(schema), self.name, self.sha256)

    def check(self, model: ArrowModel, schema: pa.Schema) -> None:
        """Score a row with the types of the schema."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # for example about unknown behaviors of this row
                model.score(_example(schema))
        except NotFittedError:
            raise
        except (ValueError, TypeError, NotImplementedError) as error:
            kind = TypeError if isinstance(error, NotImplementedError) else type(error)
            raise kind(
                f"The table does not fit the model: {str(error).rstrip()}. Use columns=[...] to "
                "select and order its columns like those of the table used in fit."
            ) from error
        if len(self.model.classes_) != 2:
            raise ValueError(
                f"model has the classes {list(self.model.classes_)}; it must have two. The output "
                "is the probability of the second."
            )

    def _known(self, names: Sequence[str], parameter: str, schema: pa.Schema) -> list[str]:
        missing = [name for name in names if name not in schema.names]
        if missing:
            raise ValueError(
                f"table has no column {missing[0]!r}, which is in {parameter}; it has "
                f"{schema.names}."
            )
        return list(dict.fromkeys(names))

    def _ids(self, schema: pa.Schema) -> list[str]:
        last = self.model[-1] if hasattr(self.model, "steps") else self.model
        usual = [
            *getattr(last, "id_columns", ("user_id", "application_id")),
            getattr(last, "applied_at", "applied_at"),
        ]
        if self.keep is not None:
            ids = self._known(self.keep, "keep", schema)
        else:
            ids = [name for name in dict.fromkeys(usual) if name in schema.names]
        if not ids:
            raise ValueError(
                f"table has no column that identifies an application; it has {schema.names}. Use "
                "keep=[...] to choose the columns to keep next to the probability."
            )
        if self.name in ids:
            raise ValueError(
                f"name={self.name!r} is also one of the columns to keep, {ids}. Choose another "
                "name."
            )
        return ids


def _example(schema: pa.Schema) -> pa.Table:
    """Return one row with the types of a table: an application with one earlier event."""
    return pa.table(
        [_one(field.type, 2**40) for field in schema], schema=schema.remove_metadata()
    ).replace_schema_metadata(schema.metadata)


def _one(kind: pa.DataType, moment: int) -> pa.Array:
    """Return an array of one value of a type; for times this moment, in their unit."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
        return make.from_arrays([0, 1], _one(kind.value_type, 1), type=kind)
    if pa.types.is_struct(kind):
        values = [_field(f.type) if f.name == "field" else _one(f.type, moment) for f in kind]
        return pa.StructArray.from_arrays(values, fields=list(kind))
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(
            pa.array([0], kind.index_type), _one(kind.value_type, moment), ordered=kind.ordered
        )
    value: Any = 1
    if pa.types.is_timestamp(kind):
        value = moment
    elif pa.types.is_date(kind) or pa.types.is_time(kind):
        value = date(1970, 1, 2) if pa.types.is_date(kind) else time(1)
    elif pa.types.is_decimal(kind):
        value = Decimal(1)
    try:
        return pa.array([value]).cast(kind) if isinstance(value, int) else pa.array([value], kind)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # a type that no model reads
        return pa.nulls(1, kind)


def _field(kind: pa.DataType) -> pa.Array:
    """Return an array of one field as in a prepared event; a model rejects any other text."""
    try:
        return pa.array(FIELDS[:1]).cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # a subfield defined by the user
        return _one(kind, 1)


# --------------------------------------------------------------------------------------------------
# Parquet.


def _score_parquet(request: _Request, paths: Any, output: str | Path | None, verbose: int) -> Any:
    folder = None if output is None else Path(output)
    if folder is None or not folder.exists():
        check_output(output)
    table = ParquetTable(paths, "table", same_columns=False)
    model = request.bind(table.schema)
    schema = pa.schema([table.schema.field(column) for column in model.read])
    schema = schema.with_metadata(table.schema.metadata)
    files = [
        _File(*of_file, schema)
        for of_file in zip(table.files, table.n_rows, table.schemas, strict=True)
    ]
    for file in files:
        file.check_columns()
    request.check(model, schema)
    bar = tqdm(
        desc="score_table",
        total=sum(file.n_rows for file in files),
        unit="application",
        disable=not verbose,
    )
    with bar:
        if folder is None:
            scored = [
                scores for file in files for scores in _progress(bar, file.score(model, kept=""))
            ]
            return as_pandas(pa.concat_tables(scored))
        return _write_parts(model, files, folder, bar)


@dataclass(frozen=True)
class _File:
    """One file of the table: where it is, what it has, and the columns to read from it."""

    file: ParquetPath
    n_rows: int
    stored: pa.Schema
    schema: pa.Schema

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def note(self) -> str:
        """Return which version of the file a part is made from."""
        state = self.path.stat()
        return json.dumps([self.path.name, state.st_size, state.st_mtime_ns])

    def check_columns(self) -> None:
        """Reject a file with missing columns, which would otherwise be scored silently."""
        has = _names_in(self.stored)
        missing = [name for name in _names_in(self.schema) if name not in has]
        if missing:
            raise ValueError(
                f"{str(self.path)!r} has no column {missing[0]!r}, which other files of the table "
                f"have; it has {self.stored.names}. Rewrite it with all columns."
            )

    def batches(self, size: int) -> Iterator[pa.Table]:
        """Read batch by batch; a file without rows yields one empty batch."""
        stored = [column for column in self.schema.names if column not in self.file.keys]
        # Batches of a data set would make Arrow decode full row groups ahead of time.
        with self.file.open(buffer_size=2**20) as file:
            if not self.n_rows:
                yield self.schema.empty_table()
            for batch in file.iter_batches(size, columns=stored):
                table = self.file.add_keys(pa.Table.from_batches([batch]))
                yield cast_columns(table.select(self.schema.names), self.schema)

    def score(self, model: ArrowModel, kept: str) -> Iterator[pa.Table]:
        """Score the rows; errors name the file."""
        try:
            for batch in self.batches(_BATCH):
                yield model.score(batch)
        except (ValueError, TypeError, OSError) as error:
            if getattr(error, "errno", None):
                raise  # a system error
            raise ValueError(f"{str(self.path)!r} cannot be scored: {error}{kept}") from error


def _names_in(schema: pa.Schema) -> list[str]:
    """Return the names of the columns and of the subfields of nested ones."""
    subfields = [
        f"{field.name}.{name}"
        for field in schema
        if is_list_of_structs(field.type)
        for name in field.type.value_type.names
    ]
    return [*schema.names, *subfields]


def _progress(bar: tqdm, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        yield table
        bar.update(len(table))


def _write_parts(model: ArrowModel, files: Sequence[_File], output: Path, bar: tqdm) -> Path:
    """Write a part for each file without one; move the folder to the output when complete."""
    folder = output if output.exists() else output.with_name(f"{output.name}.unfinished")
    names = list(map(part_name, range(len(files))))
    _refuse_strangers(folder, names, is_complete=folder == output)
    todo = []
    for file, name in zip(files, names, strict=True):
        if (folder / name).exists():
            _check_part(folder / name, file, model)
            bar.update(file.n_rows)
        else:
            todo.append((file, folder / name))
    if folder == output:
        return output
    folder.mkdir(exist_ok=True)
    kept = f". Finished parts are kept in {str(folder)!r}. Fix this file and call again."
    for file, part in todo:
        scored = _progress(bar, file.score(model, kept))
        _write_part(part, file.note, scored, model.sha256)
    for left in begun_parts(folder):  # left by killed runs
        left.unlink()
    folder.rename(output)
    return output


def _write_part(part: Path, note: str, tables: Iterator[pa.Table], sha256: str | None) -> None:
    """Write the scores of one file, and record what they are made from."""
    first = next(tables)
    notes = {_NOTE: note.encode()} | ({} if sha256 is None else {_MODEL: sha256.encode()})
    schema = first.schema.with_metadata({**(first.schema.metadata or {}), **notes})
    with writing(part, schema) as writer:
        writer.write_table(first.replace_schema_metadata(schema.metadata))
        for table in tables:
            writer.write_table(table.replace_schema_metadata(schema.metadata))


def _refuse_strangers(folder: Path, names: Sequence[str], *, is_complete: bool) -> None:
    """Reject a folder with files of another table, or an output with missing parts."""
    found = {path.name for path in folder.glob("[!.]*")}
    if found - set(names) or (is_complete and found != set(names)):
        raise FileExistsError(
            f"{str(folder)!r} already exists and does not hold the scores of this table. Remove "
            "it, or choose a new folder."
        )


def _check_part(part: Path, file: _File, model: ArrowModel) -> None:
    """Reject a finished part of another file, with other columns or from another model."""
    schema = pq.read_schema(part)
    if (schema.metadata or {}).get(_NOTE) != file.note.encode():
        found = f"was not made from the current version of {str(file.path)!r}"
    elif model.sha256 != _model_of(schema):  # few rows may not tell two models apart
        found = (
            f"was scored by {_named(_model_of(schema))}, but the current model is "
            f"{_named(model.sha256)}. To continue, pass the model that scored it"
        )
    elif schema.names != [*model.ids, model.name]:
        found = f"has the columns {schema.names} instead of {[*model.ids, model.name]}"
    else:
        again = model.probabilities(next(file.batches(_CHECKED)))
        with pq.ParquetFile(part) as written:
            before = next(written.iter_batches(_CHECKED, columns=[model.name]), None)
        scores = np.empty(0) if before is None else before[model.name].to_numpy()
        if np.allclose(scores, again, rtol=0, atol=_TOLERANCE):
            return
        found = "contains scores of another model"
    raise FileExistsError(
        f"{str(part)!r} {found}. Remove {str(part.parent)!r} to score all files again, or choose "
        "another output."
    )


def _model_of(schema: pa.Schema) -> str | None:
    """Return the hash of the model file recorded in a part."""
    noted = (schema.metadata or {}).get(_MODEL)
    return None if noted is None else noted.decode(errors="replace")


def _named(sha256: str | None) -> str:
    return "a model in memory" if sha256 is None else f"the model file {sha256}"


# --------------------------------------------------------------------------------------------------
# Engines.


def _score_query(request: _Request, table: Any, output: Path | None, verbose: int) -> Any:
    """Score an Ibis table in this process, in the batches that its engine returns."""
    model = request.prepare(table.schema().to_pyarrow())
    bar = tqdm(desc="score_table", unit="application", disable=not verbose)
    with bar, batches_of(table.select(*model.read), _BATCH) as batches:
        # Start with an empty batch, so there is at least one.
        tables = chain([batches.schema.empty_table()], map(_as_table, batches))
        scored = _progress(bar, map(model.score, tables))
        if output is None:
            return as_pandas(pa.concat_tables(scored))
        with work_folder(output) as folder:
            (folder / "parts").mkdir()
            _write_part(folder / "parts" / part_name(0), "", scored, model.sha256)
            (folder / "parts").rename(output)
    return output


def _as_table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _score_on_spark(request: _Request, frame: Any) -> Any:
    """Return the scores of a DataFrame, which Spark's workers compute when it is executed."""
    types = spark_types()
    model = request.prepare(frame.limit(0).toArrow().schema)
    schema = types.StructType([frame.schema[column] for column in model.ids])
    schema = schema.add(types.StructField(model.name, types.DoubleType()))
    # Spark would read a dot in a name as access to a struct field.
    columns = ["`" + column.replace("`", "``") + "`" for column in model.read]
    return frame.select(*columns).mapInArrow(model.score_batches, schema)
