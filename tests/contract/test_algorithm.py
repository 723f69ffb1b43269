"""Finding an algorithm by file, folder and module name."""

from pathlib import Path

import pytest

from cleanroom_algo.contract.algorithm import find_class, load_algorithm, source_hash
from cleanroom_algo.errors import AlgorithmClassError, AlgorithmNotFoundError


def write(folder: Path, name: str, body: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(body)
    return path


def test_a_file_imports_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "neighbour_of_mine", "VALUE = 7\n")
    module = load_algorithm(write(tmp_path, "algorithm_with_neighbour", "from neighbour_of_mine import VALUE\n"))

    assert module.VALUE == 7
    assert load_algorithm(tmp_path / "algorithm_with_neighbour.py") is module


def test_a_folder_needs_algorithm_py(tmp_path: Path) -> None:
    with pytest.raises(AlgorithmNotFoundError, match=r"has no algorithm\.py"):
        load_algorithm(tmp_path)
    write(tmp_path, "algorithm", "NAME = 'mine'\n")
    assert load_algorithm(tmp_path).NAME == "mine"


def test_two_folders_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "algorithm", f"NAME = {name!r}\n")

    assert [load_algorithm(tmp_path / name).NAME for name in ("one", "two")] == ["one", "two"]


def test_a_module_by_name() -> None:
    assert load_algorithm("json.decoder").__name__ == "json.decoder"
    with pytest.raises(AlgorithmNotFoundError, match="no module 'no_such_module_here'"):
        load_algorithm("no_such_module_here")


def test_a_name_with_the_ending_of_a_file_is_no_module() -> None:
    with pytest.raises(AlgorithmNotFoundError, match=r"there is nothing at 'missing\.py'"):
        load_algorithm("missing.py")


def test_what_the_algorithm_raises_goes_through(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="absent_library"):
        load_algorithm(write(tmp_path, "algorithm_that_imports_nothing", "import absent_library\n"))
    with pytest.raises(ZeroDivisionError):
        load_algorithm(write(tmp_path, "algorithm_that_divides", "1 / 0\n"))


def test_one_class_or_an_error_that_lists_them(tmp_path: Path) -> None:
    none = load_algorithm(write(tmp_path, "algorithm_none", "class Other: pass\n"))
    with pytest.raises(AlgorithmClassError, match="found: Other"):
        find_class(none, ValueError)
    two = load_algorithm(write(tmp_path, "algorithm_two", "class A(ValueError): pass\nclass B(ValueError): pass\n"))
    with pytest.raises(AlgorithmClassError, match="found: A, B"):
        find_class(two, ValueError)
    line = load_algorithm(write(tmp_path, "algorithm_line", "class A(ValueError): pass\nclass B(A): pass\n"))
    assert find_class(line, ValueError).__name__ == "B"


def test_imported_classes_are_not_the_algorithms_own(tmp_path: Path) -> None:
    module = load_algorithm(
        write(tmp_path, "algorithm_import", "from json import JSONDecodeError\nclass Mine(ValueError): pass\n")
    )

    assert find_class(module, ValueError).__name__ == "Mine"


def test_the_hash_of_sources_is_of_their_contents(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    code = write(folder, "algorithm", "NAME = 'mine'\n")
    alone = source_hash(write(tmp_path, "late", code.read_text()))
    assert source_hash(folder) == source_hash(code) == alone
    (folder / "data.csv").write_text("1")
    assert source_hash(folder) == alone
    write(folder, "neighbour", "VALUE = 1\n")
    assert source_hash(folder) != alone
    assert source_hash("json") is None
