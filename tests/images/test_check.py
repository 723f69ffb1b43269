"""What `check` finds in files, folders and images; and that it finds nothing in the examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.hosts.engine import find_engine
from cleanroom_algo.local.hosts.protocol import Verb
from cleanroom_algo.local.images import image, trial
from cleanroom_algo.local.images.source import check_sources, read_sources
from tests.cli.support import run
from tests.images.engine import Engine

EXAMPLES = Path(__file__).parents[2] / "examples"
BOTH = """
from cleanroom_algo import Hyperparameters, Predictor, Trainer
{imports}
class Knobs(Hyperparameters):
    epochs: int = 1
    {field}
class Mine(Trainer):
    hyperparameters = Knobs
    def fit(self):
        {fit}
class Guess(Predictor):
    pass
"""

PARSER = "p = argparse.ArgumentParser()"
FAMILIAR = "c = C(); c.breakpoint(); c.parse_args(); c.from_pretrained('x'); C.from_pretrained('x')"


def names(path: Path) -> list[str]:
    return [f"{found.severity} {found.name} {found.where}" for found in check_sources(read_sources(path))]


def write(folder: Path, *, imports: str = "", field: str = "", fit: str = "pass") -> Path:
    file = folder / "mine.py"
    file.write_text(BOTH.format(imports=imports, field=field, fit=fit))
    return file


@pytest.mark.parametrize(
    ("example", "options"),
    [("flight_delay", ()), ("../cleanroom_algo/local/templates/sklearn/algorithm", ["--no-start"])],
)
def test_the_examples_are_without_findings(example: str, options: Sequence[str]) -> None:
    done = run("check", EXAMPLES / example, "--json", *options)

    assert done.json == {"findings": []}
    assert done.status == ExitCode.OK


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ({"imports": "import pickle"}, ["warning pickle mine.py:3"]),
        ({"imports": "from urllib.request import urlopen"}, ["warning network mine.py:3"]),
        ({"fit": "torch.load('x')"}, ["warning pickle mine.py:10"]),
        ({"fit": "torch.load('x', weights_only=True)"}, []),
        ({"fit": "Model.from_pretrained('bert')"}, ["error network mine.py:10"]),
        ({"fit": "run(['pip', 'install', 'x'])"}, ["error pip-at-run-time mine.py:10"]),
        ({"fit": "os.system('pip install x')"}, ["error pip-at-run-time mine.py:10"]),
        ({"fit": "open('/data/x', 'w')"}, ["warning writes-elsewhere mine.py:10"]),
        ({"fit": "Path('/data/x').write_text('x')"}, ["warning writes-elsewhere mine.py:10"]),
        ({"fit": "open('/data/x'), open('/opt/ml/model/x', 'w'), open('x', 'w')"}, []),
        ({"imports": "import argparse", "fit": f"{PARSER}; p.parse_args()"}, ["error argparse mine.py:10"]),
        ({"imports": "import argparse as a", "fit": "a.ArgumentParser().parse_args()"}, ["error argparse mine.py:10"]),
        ({"imports": "import argparse", "fit": f"{PARSER}; p.parse_known_args(); p.parse_args([])"}, []),
        ({"imports": "import argparse", "fit": f"{PARSER}; p.add_argument('word'); p.parse_args()"}, []),
        ({"imports": f"import argparse\nif __name__ == '__main__': {PARSER}; p.parse_args()"}, []),
        ({"fit": "breakpoint()"}, ["error debugger mine.py:10"]),
        ({"imports": "from pdb import set_trace as st", "fit": "st()"}, ["error debugger mine.py:10"]),
        ({"fit": "if self.params.epochs > 9: breakpoint()"}, ["warning debugger mine.py:10"]),
        ({"imports": "class C: breakpoint = parse_args = from_pretrained = print", "fit": FAMILIAR}, []),
        ({"imports": "def breakpoint(): pass\nload_dataset = print", "fit": "breakpoint()"}, []),
        ({"fit": "load_dataset('csv', data_files='x'); Model.from_pretrained('/opt/algorithm/bert')"}, []),
        ({"fit": "torch.hub.load('x', 'y', source='local'); Model.from_pretrained(self.folder)"}, []),
        ({"field": "depth: int = 3"}, ["warning hyperparameter-not-read mine.py:6"]),
        ({"field": "depth: int = 3", "fit": "self.params.depth"}, []),
        ({"fit": "1 +"}, ["error syntax mine.py:10"]),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_what_files_show(tmp_path: Path, code: dict[str, str], found: list[str]) -> None:
    assert names(write(tmp_path, **code)) == found


def test_only_files_that_the_algorithm_imports_count(tmp_path: Path) -> None:
    file = write(tmp_path, imports="from used import x\nimport lib.core").rename(tmp_path / "algorithm.py")
    (tmp_path / "used.py").write_text("import joblib")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/core.py").write_text("from . import deep\nfrom .deep import load_dataset\nload_dataset('x')")
    (tmp_path / "lib/deep.py").write_text("def load_dataset(name):\n    breakpoint()")
    for tool in ("tool.py", "lib/tool.py"):
        (tmp_path / tool).write_text("import argparse\nargparse.ArgumentParser().parse_args()")
    (tmp_path / "draft.py").write_text("1 +")

    assert names(tmp_path) == ["warning pickle used.py:1", "error debugger lib/deep.py:2"]
    assert names(file.rename(tmp_path / "mine.py")) == names(tmp_path / "mine.py")
    (found,) = [each for each in names(tmp_path / "mine.py") if "debugger" in each]
    assert found == "error debugger lib/deep.py:2"


TRAINS, SERVES, SCRIPT = (
    "class A(Trainer): pass\n",
    "class B(Predictor): pass\n",
    f"import argparse\n{PARSER}\np.parse_args()\n",
)
BETTER = "from cleanroom_algo import Trainer as T\nclass A(T): pass\n"


@pytest.mark.parametrize(
    ("files", "only", "found"),
    [
        ({"algorithm.py": TRAINS}, None, ["warning no-serve"]),
        ({"algorithm.py": BETTER}, "train", []),
        ({"algorithm.py": TRAINS}, "serve", ["error no-serve"]),
        ({"algorithm.py": SERVES}, None, ["warning no-train"]),
        ({"algorithm.py": SERVES}, "serve", []),
        ({"algorithm.py": "x = 1\n"}, None, ["error no-train", "warning no-serve"]),
        ({"train.py": SCRIPT, "other.py": ""}, "train", ["warning no-train"]),
        ({"a.py": SCRIPT, "b.py": ""}, None, ["warning no-train", "warning no-serve"]),
        ({"inference.py": "def model_fn(folder): ..."}, None, []),
        ({"train.py": SCRIPT}, "serve", ["error no-serve"]),
        ({}, None, ["error no-train", "warning no-serve"]),
        ({"serve": "#!/bin/sh", "a.py": ""}, "serve", []),
    ],
)
def test_what_need_not_do_everything(
    tmp_path: Path, files: dict[str, str], only: Verb | None, found: list[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    seen = [f"{each.severity} {each.name}" for each in check_sources(read_sources(tmp_path), only=only)]

    assert [each for each in seen if "hyperparameter" not in each] == found


def test_a_folder_with_programs_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("#!/bin/sh\n")

    unread = "warning hyperparameter-not-read train"
    assert names(tmp_path) == [unread, "error no-train train", f"warning no-serve {tmp_path.name}"]
    (tmp_path / "train").chmod(0o755)
    (tmp_path / "weights.bin").touch()
    with (tmp_path / "weights.bin").open("r+b") as file:
        file.truncate(101 * 10**6)
    assert names(tmp_path) == [unread, f"warning no-serve {tmp_path.name}", "warning size weights.bin"]
    (tmp_path / "train").write_text('#!/bin/sh\nexec python run.py "$@"\n')  # no job passes them as options
    assert unread in names(tmp_path)


def test_what_a_folder_of_scripts_shows(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text("import argparse\nargparse.ArgumentParser().parse_args()\n")
    unnamed, unserved = f"warning no-train {tmp_path.name}", f"warning no-serve {tmp_path.name}"
    assert names(tmp_path) == [unnamed, unserved]  # its options are the hyperparameters, and no word comes with them

    (tmp_path / "inference.py").write_text("from run import model_fn")
    assert names(tmp_path) == [unnamed]
    assert list(check_sources(read_sources(tmp_path, "run.py"))) == []
    image = check_sources(read_sources(tmp_path, named=False), entries=False)
    program = {f"{found.severity} {found.name}" for found in image}
    assert program == {"error argparse", "warning hyperparameter-not-read"}


def test_programs_in_python_are_read_whatever_their_names(tmp_path: Path) -> None:
    for name, text in (("train", "import pickle"), ("serve", "open('/opt/ml/model/cache', 'w')")):
        (tmp_path / name).write_text(f"#!/usr/bin/env python3\n{text}\n")
        (tmp_path / name).chmod(0o755)

    assert names(tmp_path) == [
        "warning pickle train:2",
        "error writes-model serve:2",
        "warning hyperparameter-not-read train",
    ]
    (tmp_path / "train").write_text("#!/usr/bin/env python3\nimport os; os.environ['SM_HPS']\n")
    assert names(tmp_path) == ["error writes-model serve:2"]


START = """#!/usr/bin/env python3
import argparse, os, socket
try:
    socket.getaddrinfo("example.org", 80)
except OSError as error:
    print(error)
try:
    open("/usr/share/mine", "w")
except OSError as error:
    print(error)
print("Looking in indexes: none")
argparse.ArgumentParser().parse_args()
# hyperparameters.json: what mentions it is taken to read it
"""
SERVE = """#!/usr/bin/env python3
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
http.server.HTTPServer(("", port), Answer).serve_forever()
"""


def test_what_starting_shows(tmp_path: Path) -> None:
    for name, text in (("train", START), ("serve", SERVE)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    done = run("check", tmp_path, "--json")

    found = {(each["severity"], each["name"], each["where"]) for each in done.json["findings"]}
    expected = {("error", "argparse", "train"), ("error", "pip-at-run-time", "train"), ("warning", "ping", "serve")}
    assert expected <= found
    looked = {("error", "argparse", "train:12"), ("warning", "writes-elsewhere", "train:8")}
    isolated = {
        ("error", "network", "train"),
        ("warning", "writes-elsewhere", "train"),
        ("warning", "sigterm", "serve"),
    }
    assert found - expected - looked == (set() if sandbox.missing() else isolated)
    assert all(each["fix"] for each in done.json["findings"])
    assert done.status == ExitCode.CONTRACT
    (tmp_path / "train").write_text("#!/bin/sh\nexit 2\n")
    assert run("check", tmp_path, "--no-start").status == ExitCode.OK


WRONG = """
import argparse, http.server, pickle, socket, sys
if sys.argv[1] == "serve":
    try: open("/opt/ml/model/cache", "w")
    except OSError as error: print(error, flush=True)
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
    http.server.HTTPServer(("", 8080), Answer).serve_forever()
writes = lambda: open("/usr/share/mine", "w"), lambda: open("x", "w")
for act in (lambda: socket.getaddrinfo("example.org", 80), *writes):
    try: act()
    except OSError as error: print(error)
print("Looking in indexes: none")
argparse.ArgumentParser().parse_args()
# hyperparameters.json
"""
ENTRYPOINT = 'ENTRYPOINT ["python3", "{}"]'


def check(name: str, *words: str) -> list[dict[str, str]]:
    """Return the findings in an image; what they say and advise is there for all."""
    done = run("check", name, "--json", *words)
    found: list[dict[str, str]] = done.json["findings"]
    assert all(each["what"] and each["fix"] for each in found)
    assert done.status == (ExitCode.CONTRACT if any(each["severity"] == "error" for each in found) else ExitCode.OK)
    return found


def found_in(name: str, *words: str) -> set[tuple[str, str, str]]:
    """Return severity, name and place of each finding."""
    return {place_of(each) for each in check(name, *words)}


def place_of(found: dict[str, str]) -> tuple[str, str, str]:
    return found["severity"], found["name"], found["where"]


def test_what_an_image_shows_when_it_starts(engine: Engine) -> None:
    places = [f"COPY main.py {place}/" for place in ("/usr/src/mine", "/opt/ml/code")]
    name = engine.build("wrong", *places, ENTRYPOINT.format("/usr/src/mine/main.py"), files={"main.py": WRONG})

    findings = check(name)

    assert {place_of(each) for each in findings} == {
        ("error", "argparse", "usr/src/mine/main.py:16"),
        ("error", "argparse", "train"),
        ("error", "network", "train"),
        ("error", "pip-at-run-time", "train"),
        ("error", "writes-model", "serve"),
        ("warning", "opt-ml", "/opt/ml"),
        ("warning", "pickle", "usr/src/mine/main.py:2"),
        ("warning", "ping", "serve"),
        ("warning", "sigterm", "serve"),
        ("warning", "writes-elsewhere", "usr/src/mine/main.py:11"),
        ("warning", "writes-elsewhere", "train"),
    }
    written = [each["what"] for each in findings if each["where"] == "train"]
    assert [what.partition(";")[0] for what in written if "writes" in what] == [
        "writes to /usr/share/mine",
        "writes to x",
    ]


def test_what_the_programs_of_an_image_show(engine: Engine) -> None:
    pip = "import subprocess, sys\nsubprocess.check_call([sys.executable, '-m', 'pip', 'install', 'x'])\n"
    files = {"train": f"#!/usr/bin/env python3\nimport joblib\n{pip}", "serve": "#!/bin/sh\nexec server\n"}
    name = engine.build("programs", "COPY train serve /usr/local/bin/", files=files)

    assert found_in(name, "--no-start") == {
        ("error", "pip-at-run-time", "usr/local/bin/train:4"),
        ("warning", "hyperparameter-not-read", "usr/local/bin/train"),
        ("warning", "pickle", "usr/local/bin/train:2"),
    }


def test_an_image_for_other_machines_and_users(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_LARGE_BYTES", 1)
    lines = ("COPY main.py /main.py", "USER 1000", "ENTRYPOINT python3 /main.py")
    name = engine.build(
        "other", *lines, base="scratch", files={"main.py": "import dill, sys"}, options=("--arch", "arm64")
    )

    assert found_in(name) == {
        ("error", "architecture", "image"),
        ("error", "entrypoint", "ENTRYPOINT"),
        ("error", "user", "USER"),
        ("warning", "size", "image"),
    }


@pytest.mark.parametrize(
    ("train", "serve", "found"),
    [
        (
            "mkdir /data",
            "exec sleep 60",
            [("warning", "ping", "serve"), ("warning", "sigterm", "serve"), ("warning", "writes-elsewhere", "train")],
        ),
        (None, "exit 0", [("error", "no-serve", "serve"), ("error", "no-train", "train")]),
    ],
    ids=["folder", "interpreter"],
)
def test_how_programs_of_an_image_end(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    train: str | None,
    serve: str,
    found: list[tuple[str, str, str]],
) -> None:
    if serve == "exec sleep 60":
        monkeypatch.setattr(trial, "SERVE_SECONDS", 2.0)
    texts = {"train": train, "serve": serve}
    files = {
        name: f"#!/bin/sh\n: hyperparameters.json\n{text}\n" if text else "#!/nowhere\n# hyperparameters.json\n"
        for name, text in texts.items()
    }
    name = engine.build("ends", "COPY train serve /usr/local/bin/", files=files)

    assert sorted(found_in(name)) == found


def test_an_image_that_cannot_serve(engine: Engine) -> None:
    name = engine.build(
        "no-serve",
        "COPY train /usr/local/bin/",
        "WORKDIR /opt/code",
        files={"train": "#!/bin/sh\n: hyperparameters.json\n"},
    )

    assert found_in(name) == {("error", "no-serve", "serve")}


@pytest.mark.parametrize(
    ("config", "paths", "places"),
    [
        ({}, [], []),
        ({"WorkingDir": "/usr/src/app"}, ["/usr/src/app/main.py"], ["/usr/src/app"]),
        ({"WorkingDir": "/opt/algorithm"}, ["/opt/algorithm/train"], []),
        ({"Env": ["PYTHONPATH=/srv/a:/srv/a/b", "PATH=/bin"]}, ["/main.py"], ["/main.py", "/srv/a"]),
        (
            {"WorkingDir": "/app"},
            ["/usr/local/bin/train", "/opt/mine/go"],
            ["/app", "/opt/mine", "/usr/local/bin/train"],
        ),
    ],
)
def test_where_code_is_looked_for_in_an_image(config: dict[str, Any], paths: list[str], places: list[str]) -> None:
    assert image.code_places({"Config": config}, paths) == places


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"Architecture": "arm64"}, ["error architecture image"]),
        ({"Config": {"Entrypoint": ["/bin/sh", "-c", "python x.py"]}}, ["error entrypoint ENTRYPOINT"]),
        ({"Config": {"Entrypoint": ["bash", "-lc", "train"]}}, ["error entrypoint ENTRYPOINT"]),
        ({"Config": {"Entrypoint": ["bash", "start.sh"]}}, []),
        ({"Config": {"Entrypoint": ["/usr/bin/tini", "--"]}}, ["error entrypoint ENTRYPOINT"]),
        ({"Config": {"User": "1000"}}, ["error user USER"]),
        ({"Size": 11 * 10**9}, ["warning size image"]),
    ],
)
def test_what_an_image_shows(changes: dict[str, Any], found: list[str]) -> None:
    description = {"Architecture": "amd64", "Config": {"User": "", "Entrypoint": None}, "Size": 10**9} | changes

    assert [
        f"{each.severity} {each.name} {each.where}" for each in image.check_image(description, has_opt_ml=False)
    ] == found
    (more,) = [each for each in image.check_image(description, has_opt_ml=True) if each.name == "opt-ml"]
    assert more.where == "/opt/ml"


def test_what_is_neither_a_path_nor_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    find_engine.cache_clear()

    done = run("check", "nobody/has-this")

    assert done.status != ExitCode.OK
    assert "CR-HST-003" in done.stderr
    assert "podman is not installed" in done.stderr


@pytest.mark.unit
@pytest.mark.parametrize(
    ("code", "line", "name"),
    [(2, "Usage: train [OPTIONS]", "argparse"), (6, "curl: (6) Could not resolve host: x", "network")],
)
def test_what_other_programs_say(code: int, line: str, name: str) -> None:
    assert [found.name for found in trial._conclude("train", code, [line])] == [name]


@pytest.mark.unit
@pytest.mark.parametrize(
    "line",
    ["ModuleNotFoundError: No module named 'xgboost'", "CR-TRN-015  lightgbm cannot be imported (OSError)"],
)
def test_a_library_that_is_not_there_is_found(line: str) -> None:
    (found,) = trial._conclude("train", 3, ["algo-1 starts", line])
    assert (found.name, line.removeprefix("CR-TRN-015  ") in found.what) == ("import", True)
    assert "apt.txt" in found.fix
