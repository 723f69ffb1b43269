"""Public texts of exceptions, which are safe to show: names of classes, and phrases of libraries' messages.

A name or a phrase is shown as it is written here, so that it cannot contain anything of a row.
"""

import builtins

_OF_LIBRARIES = """
    asyncio.exceptions.CancelledError asyncio.exceptions.TimeoutError
    binascii.Error concurrent.futures._base.TimeoutError concurrent.futures.process.BrokenProcessPool
    configparser.Error csv.Error ctypes.ArgumentError dataclasses.FrozenInstanceError
    decimal.ConversionSyntax decimal.DivisionByZero decimal.InvalidOperation
    gzip.BadGzipFile json.decoder.JSONDecodeError lzma.LZMAError multiprocessing.context.TimeoutError
    pickle.PickleError pickle.PicklingError pickle.UnpicklingError _pickle.PickleError _pickle.PicklingError
    _pickle.UnpicklingError queue.Empty queue.Full re.error shutil.Error socket.gaierror
    sqlite3.DatabaseError sqlite3.DataError sqlite3.Error sqlite3.IntegrityError sqlite3.InterfaceError
    sqlite3.InternalError sqlite3.NotSupportedError sqlite3.OperationalError sqlite3.ProgrammingError
    statistics.StatisticsError struct.error subprocess.CalledProcessError subprocess.SubprocessError
    subprocess.TimeoutExpired tarfile.ReadError tarfile.TarError tokenize.TokenError unittest.case.SkipTest
    xml.etree.ElementTree.ParseError zipfile.BadZipFile zlib.error
    duckdb.BinderException duckdb.CatalogException duckdb.ConversionException duckdb.Error duckdb.InvalidInputException
    duckdb.ParserException
    joblib.externals.loky.process_executor.TerminatedWorkerError lightgbm.basic.LightGBMError
    numpy.exceptions.AxisError numpy.exceptions.DTypePromotionError numpy.linalg.LinAlgError
    numpy._core._exceptions._ArrayMemoryError numpy._core._exceptions._UFuncNoLoopError
    pandas.errors.DtypeWarning pandas.errors.EmptyDataError pandas.errors.IntCastingNaNError pandas.errors.MergeError
    pandas.errors.ParserError pandas.errors.SettingWithCopyError pandas.errors.UndefinedVariableError
    pandas._libs.tslibs.np_datetime.OutOfBoundsDatetime
    polars.exceptions.ColumnNotFoundError polars.exceptions.ComputeError polars.exceptions.DuplicateError
    polars.exceptions.InvalidOperationError polars.exceptions.NoDataError polars.exceptions.OutOfBoundsError
    polars.exceptions.PanicException pyo3_runtime.PanicException
    polars.exceptions.PolarsError polars.exceptions.SchemaError polars.exceptions.SchemaFieldNotFoundError
    polars.exceptions.ShapeError polars.exceptions.StringCacheMismatchError polars.exceptions.StructFieldNotFoundError
    pyarrow.lib.ArrowException pyarrow.lib.ArrowInvalid pyarrow.lib.ArrowKeyError pyarrow.lib.ArrowMemoryError
    pyarrow.lib.ArrowNotImplementedError pyarrow.lib.ArrowTypeError
    pydantic_core._pydantic_core.ValidationError
    safetensors.SafetensorError safetensors_rust.SafetensorError
    sklearn.exceptions.ConvergenceWarning sklearn.exceptions.DataConversionWarning sklearn.exceptions.NotFittedError
    torch.AcceleratorError torch.OutOfMemoryError torch.cuda.OutOfMemoryError torch.distributed.DistBackendError
    torch.distributed.DistError torch.distributed.DistNetworkError torch.distributed.DistStoreError
    xgboost.core.XGBoostError
"""

CLASSES = frozenset(_OF_LIBRARIES.split()) | {
    f"builtins.{name}"
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
"""Classes of exceptions by module and name."""

PHRASES = frozenset(
    line.strip()
    for line in """
    a leaf Variable that requires grad is being used in an in-place operation
    Address already in use
    Boolean value of Tensor with more than one value is ambiguous
    Broken pipe
    CUDA error
    CUDA out of memory
    Cannot allocate memory
    Connection refused
    Connection reset by peer
    Connection timed out
    DataLoader worker
    Dimension out of range
    Expected all tensors to be on the same device
    Expected more than 1 value per channel when training
    Expected size for first two dimensions to be
    Expecting property name enclosed in double quotes
    Expecting value
    File exists
    Index contains duplicate entries
    Input contains NaN
    Input contains infinity or a value too large
    Invalid cross-device link
    Is a directory
    No module named
    No space left on device
    No such file or directory
    Not a directory
    Operation not permitted
    Permission denied
    Read-only file system
    Sizes of tensors must match except in dimension
    Target size
    Too many open files
    Tried to allocate
    Trying to backward through the graph a second time
    UNIQUE constraint failed
    Unsupported format
    all the input array dimensions except for the concatenation axis must match exactly
    argument after
    attempt to get argmax of an empty sequence
    cannot be broadcast to
    cannot be multiplied
    cannot convert float NaN to integer
    cannot convert float infinity to integer
    cannot import name
    cannot reshape array of size
    cannot unpack non-iterable
    conversion from
    could not be broadcast together with
    could not be broadcast together with shapes
    could not broadcast input array from shape
    could not convert string to float
    database is locked
    deque index out of range
    dictionary changed size during iteration
    dictionary update sequence element
    died with
    division by zero
    does not match format
    does not require grad and does not have a grad_fn
    expected scalar type
    expected sequence of length
    failed in column
    float division by zero
    from partially initialized module
    got an unexpected keyword argument
    got multiple values for argument
    has inconsistent length
    has no attribute
    has no len()
    index out of range in self
    inhomogeneous shape
    input dimension
    integer division or modulo by zero
    invalid index to scalar variable
    invalid literal for int() with base
    invalid syntax
    is invalid for input of size
    is not callable
    is not defined
    is not in list
    is not iterable
    is not JSON serializable
    is not subscriptable
    is out of bounds
    is out of bounds for axis
    is out of bounds for dimension
    list index out of range
    local variable
    mat1 and mat2 must have the same dtype
    mat1 and mat2 shapes cannot be multiplied
    math domain error
    maximum recursion depth exceeded
    missing 1 required positional argument
    modified by an inplace operation
    most likely due to a circular import
    must be real number
    must match the size of tensor
    no such column
    no such table
    non-default argument follows default argument
    not all arguments converted during string formatting
    not enough values to unpack
    not supported between instances of
    number of columns
    object has no attribute
    object is not callable
    object is not iterable
    object is not subscriptable
    object of type
    one of the variables needed for gradient computation has been
    only integer scalar arrays can be converted to a scalar index
    pop from an empty deque
    pop from an empty set
    pop from empty list
    referenced before assignment
    returned non-zero exit status
    setting an array element with a sequence
    shapes cannot be multiplied
    size mismatch
    std::bad_alloc
    string index out of range
    substring not found
    takes no arguments
    timed out after
    time data
    too many dimensions
    too many indices for tensor of dimension
    too many values to unpack
    truth value of an array with more than one element is ambiguous
    tuple index out of range
    unable to find column
    unconverted data remains
    unexpected indent
    unhashable type
    unindent does not match any outer indentation level
    unsupported operand type(s) for
    was never closed
    """.splitlines()
    if line.strip()
)
"""Parts of messages of Python and of libraries that contain no value."""
