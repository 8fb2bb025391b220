"""Scoring tables that memory does not hold: Parquet by parts, queries in batches, Spark in place.

Whatever the table is, its rows pass a fitted model in batches of Arrow (`Scorer`), and only what
names an application stays with its probability.
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
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from sklearn.exceptions import NotFittedError
from tqdm.auto import tqdm

from skhuihen.assembly import batches_of, connections_of, is_ibis
from skhuihen.behaviors import refuse_series
from skhuihen.nested_parquet import is_list_of_structs
from skhuihen.parquet import (
    ParquetPath,
    as_one_table,
    as_pandas,
    cast_columns,
    check_output,
    find_parquet,
    is_parquet,
    work_folder,
)
from skhuihen.preprocessing.rules import FIELDS
from skhuihen.spark import is_spark_frame, spark_frame, spark_of, write_spark

#: Applications that are scored at a time; more gain no speed, and take memory.
_BATCH = 1024
#: Applications of a finished part that are scored again, to see whether the model is the same.
_CHECKED = 64
_TOLERANCE = 1e-6
#: Where a part notes the file that it was made from, and the hash of the model file.
_NOTE, _MODEL = b"skhuihen", b"skhuihen_model"


def score_table(
    model: Any,
    table: Any,
    output: str | Path | None = None,
    *,
    columns: Sequence[str] | None = None,
    id_columns: Sequence[str] | None = None,
    name: str = "probability",
    verbose: int = 0,
) -> Any:
    """Score applications that memory does not hold with a fitted model.

    Parameters
    ----------
    model : fitted classifier or Pipeline, or path
        Of two classes, with `predict_proba`; or the path of a file of `save_model`, whose hash is
        then noted in each file of ``output``.
    table : table with one row per application
        Parquet (a path, a glob, a folder or a list of files), an Ibis table, or a Spark DataFrame.
    output : path, default=None
        A folder to write the scores to as Parquet: one file for each file of ``table``, or what
        Spark makes. None: the scores are returned.
    columns : sequence of str, default=None
        The columns to give to the model, in this order, such as those of `fit`. None: all, but for
        what pandas noted as an index.
    id_columns : sequence of str, default=None
        The columns to keep beside the probability. None: the classifier's ``id_columns`` and
        ``applied_at``, as far as ``table`` has them.
    name : str, default="probability"
        The name of the column with the probability of ``model.classes_[1]``.
    verbose : int, default=0
        1 shows a progress bar of the applications; Spark shows its own.

    Returns
    -------
    scores : DataFrame, Path, Ibis table or Spark DataFrame of shape (n_applications, n_ids + 1)
        ``id_columns`` and ``name``, as float64. With ``output`` the path of that folder; else for
        Spark an unexecuted table of the same kind, and for others a DataFrame. Rows of Parquet keep
        their order.

    Raises
    ------
    ValueError, TypeError
        If the table does not fit the model, before a row is scored. Or if a file cannot be read or
        scored; the message names it.
    FileExistsError
        If ``output``, or what an unfinished run has left, belongs to another model or table.
    FileNotFoundError
        If no Parquet file is where a path points, or no folder where ``output`` should be made.

    See Also
    --------
    attach_behaviors : Makes such tables.

    Notes
    -----
    The probabilities are those of ``model.predict_proba`` to 1e-6. At a time 1,024 applications are
    in memory. Spark's workers need this package, and each task loads the model anew.

    Before any work, the model scores a row that is made up of the table's types: whatever it
    refuses there is refused for the whole table. The columns of all files are compared.

    ``output`` is there only when it is complete. Until then finished parts wait beside it in
    ``<output>.unfinished``, and whatever breaks a run, the same call goes on where it stopped; of
    a complete ``output`` it has nothing to do. A part is taken over if it notes the same file
    (name, size and time of change) and the same model file, and its first 64 applications score the
    same again; else the call is refused. Of a model in memory nothing is noted, so that it takes
    over no part of a model file, and of two in memory those applications alone tell: pass a path
    where runs may be broken off. Queries and Spark have no parts to take over.

    A weekday is read in the zone of the times, which Spark sets to that of its session, and Ibis
    sets that to UTC. If the model was fitted on times in another zone, name it in
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
    door = _Door(model, columns, id_columns, name, sha256)
    if is_parquet(table):
        return _score_parquet(door, table, output, verbose)
    folder = check_output(output)
    if is_ibis(table):
        spark = spark_of(connections_of(table))
        if spark is None:
            return _score_query(door, table, folder, verbose)
        scored = _score_on_spark(door, spark_frame(spark, table))
        if folder is None:
            view = f"skhuihen_scores_{uuid.uuid4().hex}"
            scored.createTempView(view)
            return spark.table(view)
        return write_spark(scored, folder)
    if is_spark_frame(table):
        scored = _score_on_spark(door, table)
        return scored if folder is None else write_spark(scored, folder)
    refuse_series(table, "table")
    raise TypeError(
        f"table is a {type(table).__name__}; the path of Parquet files, an Ibis table or a Spark "
        "DataFrame is wanted. A table in memory is scored by model.predict_proba(table)."
    )


@dataclass(frozen=True)
class Scorer:
    """A fitted model and the columns that it reads and leaves.

    Parameters
    ----------
    model : fitted classifier
    columns : sequence of str
        The columns that the model is given.
    ids : sequence of str
        The columns that stay.
    name : str
        The column that comes.
    sha256 : str, default=None
        The hash of the file that the model came from.
    """

    model: Any
    columns: Sequence[str]
    ids: Sequence[str]
    name: str
    sha256: str | None = None

    @property
    def read(self) -> list[str]:
        """The columns that are wanted of a table."""
        return list(dict.fromkeys([*self.columns, *self.ids]))

    def probabilities(self, table: pa.Table) -> np.ndarray:
        """Return the probability of the second class, as float64."""
        X = as_pandas(table.select(self.columns))
        return self.model.predict_proba(X)[:, 1].astype(np.float64)

    def score(self, table: pa.Table) -> pa.Table:
        """Return the rows' identifiers and probabilities."""
        scores = pa.array(self.probabilities(table))
        return table.select(self.ids).append_column(self.name, scores)

    def score_batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Do so for one batch after another, as Spark's workers ask for it."""
        for whole in batches:
            for batch in _as_table(whole).to_batches(_BATCH):
                yield from self.score(_as_table(batch)).to_batches()


# --------------------------------------------------------------------------------------------------
# The door.


@dataclass(frozen=True)
class _Door:
    """What was asked for, before the table's columns are known."""

    model: Any
    columns: Sequence[str] | None
    id_columns: Sequence[str] | None
    name: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not callable(getattr(self.model, "predict_proba", None)):
            raise TypeError(
                f"model is a {type(self.model).__name__} without predict_proba; a fitted "
                "classifier, or a Pipeline that ends in one, is wanted."
            )
        for parameter in ("columns", "id_columns"):
            value = getattr(self, parameter)
            if isinstance(value, str):
                raise TypeError(
                    f"{parameter} is the text {value!r}; a list of columns is wanted: [{value!r}]."
                )

    def let_in(self, schema: pa.Schema) -> Scorer:
        """Return what scores tables of this schema, or say why they do not fit."""
        scorer = self.choose(schema)
        self.try_on(scorer, schema)
        return scorer

    def choose(self, schema: pa.Schema) -> Scorer:
        """Choose the columns."""
        notes = schema.pandas_metadata or {"index_columns": []}
        columns = [name for name in schema.names if name not in notes["index_columns"]]
        if self.columns is not None:
            columns = self._known(self.columns, "columns", schema)
        return Scorer(self.model, columns, self._ids(schema), self.name, self.sha256)

    def try_on(self, scorer: Scorer, schema: pa.Schema) -> None:
        """Score a row of these types."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as that nobody does what this row did
                scorer.score(_example(schema))
        except NotFittedError:
            raise
        except (ValueError, TypeError, NotImplementedError) as error:
            kind = TypeError if isinstance(error, NotImplementedError) else type(error)
            raise kind(
                f"The table does not fit the model: {str(error).rstrip()}. With columns=[...] its "
                "columns can be chosen and ordered as those of the table that was fitted on."
            ) from error
        if len(self.model.classes_) != 2:
            raise ValueError(
                f"model has the classes {list(self.model.classes_)}; two are wanted, of which the "
                "second gets the probability."
            )

    def _known(self, names: Sequence[str], parameter: str, schema: pa.Schema) -> list[str]:
        missing = [name for name in names if name not in schema.names]
        if missing:
            raise ValueError(
                f"table has no column {missing[0]!r}, which {parameter} names; it has "
                f"{schema.names}."
            )
        return list(dict.fromkeys(names))

    def _ids(self, schema: pa.Schema) -> list[str]:
        last = self.model[-1] if hasattr(self.model, "steps") else self.model
        usual = [
            *getattr(last, "id_columns", ("user_id", "application_id")),
            getattr(last, "applied_at", "applied_at"),
        ]
        if self.id_columns is not None:
            ids = self._known(self.id_columns, "id_columns", schema)
        else:
            ids = [name for name in dict.fromkeys(usual) if name in schema.names]
        if not ids:
            raise ValueError(
                f"table has no column that names an application; it has {schema.names}. Name "
                "the columns to keep beside the probability with id_columns=[...]."
            )
        if self.name in ids:
            raise ValueError(
                f"name={self.name!r} is one of the columns to keep, {ids}. Choose another name."
            )
        return ids


def _example(schema: pa.Schema) -> pa.Table:
    """Return a row of the types of a table, whose application has one event before it."""
    return pa.table(
        [_one(field.type, 2**40) for field in schema], schema=schema.remove_metadata()
    ).replace_schema_metadata(schema.metadata)


def _one(kind: pa.DataType, moment: int) -> pa.Array:
    """Return an array of one value of a type; of times this one, in their unit."""
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
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nothing that a model reads
        return pa.nulls(1, kind)


def _field(kind: pa.DataType) -> pa.Array:
    """Return an array of one field, as a prepared event has it; a model refuses any other text."""
    try:
        return pa.array(FIELDS[:1]).cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # a subfield of the user's own
        return _one(kind, 1)


# --------------------------------------------------------------------------------------------------
# Parquet.


def _score_parquet(door: _Door, paths: Any, output: str | Path | None, verbose: int) -> Any:
    folder = None if output is None else Path(output)
    if folder is None or not folder.exists():
        check_output(output)
    found = find_parquet(paths, "table")
    dataset = as_one_table(found, "table")
    scorer = door.choose(dataset.schema)
    schema = pa.schema([dataset.schema.field(column) for column in scorer.read])
    schema = schema.with_metadata(dataset.schema.metadata)
    files = [
        _File(file, fragment, schema)
        for file, fragment in zip(found, dataset.get_fragments(), strict=True)
    ]
    for file in files:
        file.check_columns()
    door.try_on(scorer, schema)
    bar = tqdm(
        desc="score_table",
        total=sum(file.n_rows for file in files),
        unit="application",
        disable=not verbose,
    )
    with bar:
        if folder is None:
            scored = [
                table for file in files for table in _progress(bar, file.score(scorer, kept=""))
            ]
            return as_pandas(pa.concat_tables(scored))
        return _write_parts(scorer, files, folder, bar)


@dataclass(frozen=True)
class _File:
    """One file of the table, and the columns to read of it."""

    file: ParquetPath
    fragment: ds.Fragment
    schema: pa.Schema

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def n_rows(self) -> int:
        return self.fragment.metadata.num_rows

    @property
    def note(self) -> str:
        """Say which state of the file a part is made from."""
        state = self.path.stat()
        return json.dumps([self.path.name, state.st_size, state.st_mtime_ns])

    def check_columns(self) -> None:
        """Refuse a file that lacks a column of the others: it would be scored without a word."""
        stored = self.file.add_fields(self.fragment.physical_schema)
        has = _names_in(stored)
        missing = [name for name in _names_in(self.schema) if name not in has]
        if missing:
            raise ValueError(
                f"{str(self.path)!r} has no column {missing[0]!r}, which other files of the table "
                f"have; it has {stored.names}. Write it anew with all columns."
            )

    def batches(self, size: int) -> Iterator[pa.Table]:
        """Read a batch after another, an empty one of a file without rows."""
        stored = [column for column in self.schema.names if column not in self.file.keys]
        # By batches of a data set Arrow would decode whole row groups, ahead of time.
        with self.file.open(buffer_size=2**20) as file:
            if not self.n_rows:
                yield self.schema.empty_table()
            for batch in file.iter_batches(size, columns=stored):
                table = self.file.add_keys(pa.Table.from_batches([batch]))
                yield cast_columns(table.select(self.schema.names), self.schema)

    def score(self, scorer: Scorer, kept: str) -> Iterator[pa.Table]:
        """Score the rows, and name the file in what goes wrong."""
        try:
            for batch in self.batches(_BATCH):
                yield scorer.score(batch)
        except (ValueError, TypeError, OSError) as error:
            if getattr(error, "errno", None):
                raise  # the system's own
            raise ValueError(f"{str(self.path)!r} cannot be scored: {error}{kept}") from error


def _names_in(schema: pa.Schema) -> list[str]:
    """Name the columns, and the subfields of the nested ones."""
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


def _write_parts(scorer: Scorer, files: Sequence[_File], output: Path, bar: tqdm) -> Path:
    """Write a part for each file that has none yet; move all to the output when none lacks."""
    folder = output if output.exists() else output.with_name(f"{output.name}.unfinished")
    names = [f"part-{number:05d}.parquet" for number in range(len(files))]
    _refuse_strangers(folder, names, is_complete=folder == output)
    todo = []
    for file, name in zip(files, names, strict=True):
        if (folder / name).exists():
            _check_part(folder / name, file, scorer)
            bar.update(file.n_rows)
        else:
            todo.append((file, folder / name))
    if folder == output:
        return output
    folder.mkdir(exist_ok=True)
    kept = f". What was finished is kept in {str(folder)!r}: mend this file, and call again."
    for file, part in todo:
        scored = _progress(bar, file.score(scorer, kept))
        _write_part(part, file.note, scored, scorer.sha256)
    for left in folder.glob(".*"):  # by runs that were killed
        left.unlink()
    folder.rename(output)
    return output


def _write_part(part: Path, note: str, tables: Iterator[pa.Table], sha256: str | None) -> None:
    """Write a part under a name that no reader looks at, and rename it when it is complete."""
    unfinished = part.with_name(f".{part.name}.{uuid.uuid4().hex}")
    first = next(tables)
    notes = {_NOTE: note.encode()} | ({} if sha256 is None else {_MODEL: sha256.encode()})
    schema = first.schema.with_metadata({**(first.schema.metadata or {}), **notes})
    try:
        with pq.ParquetWriter(unfinished, schema) as writer:
            writer.write_table(first.replace_schema_metadata(schema.metadata))
            for table in tables:
                writer.write_table(table.replace_schema_metadata(schema.metadata))
        unfinished.rename(part)
    finally:
        unfinished.unlink(missing_ok=True)


def _refuse_strangers(folder: Path, names: Sequence[str], *, is_complete: bool) -> None:
    """Refuse a folder that holds what is no part of this table, or as output lacks one."""
    found = {path.name for path in folder.glob("[!.]*")}
    if found - set(names) or (is_complete and found != set(names)):
        raise FileExistsError(
            f"{str(folder)!r} is there already, and does not hold the scores of this table. Remove "
            "it, or name a new folder."
        )


def _check_part(part: Path, file: _File, scorer: Scorer) -> None:
    """Refuse a finished part of another file, of other columns, or of another model."""
    schema = pq.read_schema(part)
    if (schema.metadata or {}).get(_NOTE) != file.note.encode():
        found = f"was not made from {str(file.path)!r} as it is now"
    elif scorer.sha256 != _model_of(schema):  # of few rows two models may say the same
        found = (
            f"was scored by {_named(_model_of(schema))}, and the model of now is "
            f"{_named(scorer.sha256)}. To go on, pass what it was scored by"
        )
    elif schema.names != [*scorer.ids, scorer.name]:
        found = f"has the columns {schema.names} instead of {[*scorer.ids, scorer.name]}"
    else:
        again = scorer.probabilities(next(file.batches(_CHECKED)))
        with pq.ParquetFile(part) as written:
            before = next(written.iter_batches(_CHECKED, columns=[scorer.name]), None)
        scores = np.empty(0) if before is None else before[scorer.name].to_numpy()
        if np.allclose(scores, again, rtol=0, atol=_TOLERANCE):
            return
        found = "holds scores of another model"
    raise FileExistsError(
        f"{str(part)!r} {found}. Remove {str(part.parent)!r} to score all anew, or name another "
        "output."
    )


def _model_of(schema: pa.Schema) -> str | None:
    """Return the hash of the model file that a part notes."""
    noted = (schema.metadata or {}).get(_MODEL)
    return None if noted is None else noted.decode(errors="replace")


def _named(sha256: str | None) -> str:
    return "a model in memory" if sha256 is None else f"the model file {sha256}"


# --------------------------------------------------------------------------------------------------
# Engines.


def _score_query(door: _Door, table: Any, output: Path | None, verbose: int) -> Any:
    """Score an Ibis table here, as its engine hands over its rows."""
    scorer = door.let_in(table.schema().to_pyarrow())
    bar = tqdm(desc="score_table", unit="application", disable=not verbose)
    with bar, batches_of(table.select(*scorer.read), _BATCH) as batches:
        # The first is empty, so that there is one.
        tables = chain([batches.schema.empty_table()], map(_as_table, batches))
        scored = _progress(bar, map(scorer.score, tables))
        if output is None:
            return as_pandas(pa.concat_tables(scored))
        with work_folder(output) as folder:
            (folder / "parts").mkdir()
            _write_part(folder / "parts" / "part-00000.parquet", "", scored, scorer.sha256)
            (folder / "parts").rename(output)
    return output


def _as_table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _score_on_spark(door: _Door, frame: Any) -> Any:
    """Return the scores that Spark's workers will make of a DataFrame when it is executed."""
    from pyspark.sql.types import DoubleType, StructField, StructType

    scorer = door.let_in(frame.limit(0).toArrow().schema)
    schema = StructType([frame.schema[column] for column in scorer.ids])
    schema = schema.add(StructField(scorer.name, DoubleType()))
    # A dot in a name would be read as a field of a struct.
    columns = ["`" + column.replace("`", "``") + "`" for column in scorer.read]
    return frame.select(*columns).mapInArrow(scorer.score_batches, schema)
