"""CR-SCH: schemas."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class SchemaError(CleanroomError):
    """Schemas, and data that does not match them."""

    exit_code = ExitCode.CONTRACT


class InvalidSchemaError(SchemaError):
    """The declared schema is not valid.

    A type does not exist, a name occurs twice, or the target is not a column.
    """

    code = "CR-SCH-001"
    title = "invalid schema"


class RowMismatchError(SchemaError):
    """A row does not fit the declared schema.

    It has too many or too few fields, a field that is not of the column's type, or nothing where a value is required.
    The message names object, line and column and never shows the value. Lines are counted from 1, the header included.

    These are the types, and the texts that they take:

        int8 to int64, uint8 to uint64   digits with or without a sign, within the range
        float32, float64                 decimal numbers; "float32 nan=keep" and "float32? nan=null" take NaN
        bool                             true, t, yes, y, 1, 1.0; false, f, no, n, 0, 0.0; in any case
        string, text                     any UTF-8
        category                         any UTF-8, or an integer
        date32                           2013-01-02
        timestamp                        2013-01-02T12:30:00, with or without a fraction and an offset
        list[float32], list[int64], ...  a JSON array of numbers, such as [1, 2.5]

    A type that ends in "?" takes empty fields and nulls. Csv(delimiter=";", decimal=",", null_values=["NA"]) declares
    how CSV is written. `cleanroom-algo schema data/` prints the declaration of your files.
    """

    code = "CR-SCH-002"
    title = "a row does not fit the schema"


class ColumnsMismatchError(SchemaError):
    """The columns of an object are not those of the declared schema.

    Names are missing or unknown, or types differ. A CSV header can name the columns in any order. Parquet and JSON
    Lines are read by name. With Schema.of(..., extra_columns="ignore"), columns that are not declared, such as an index
    of pandas, are not read.
    """

    code = "CR-SCH-003"
    title = "columns do not fit the schema"


class FeaturesError(SchemaError):
    """Fitted features cannot be used: their file is not valid, or the table does not have their columns."""

    code = "CR-SCH-004"
    title = "features do not fit"


class DialectError(SchemaError):
    """A CSV channel has a field that RFC 4180 and Spark read differently, and no dialect is declared.

    Inside quotes, Spark writes a backslash before a quote and before a backslash. In RFC 4180, a backslash is an
    ordinary character. Declare which of them wrote the channel: Schema.of(..., csv=Csv(dialect="spark")), or
    dialect="rfc4180".
    """

    code = "CR-SCH-005"
    title = "the CSV dialect must be declared"
