"""The main job, end to end: `make demo`.

An airline and a weather bureau will not show each other their rows. A query joins their tables into channels; a model
is trained on two hosts, a second version from the first on later data, and an inference job predicts what came after.
Each job is a command that you can type yourself; the requests are files that boto3 would take as they are.

With `--image NAME` the containers are those of an image, run by Docker or podman; else they run this folder's files.
With `--engine spark` the queries run on Spark.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from cleanroom_algo.cli import main as cleanroom_algo
from cleanroom_algo.cli.output import next_commands, say, table
from cleanroom_algo.cli.up import DEFAULT_PORT
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.scheduling.cleanup import clean
from examples.flight_delay.data import export_tables
from examples.flight_delay.evaluation import area_under_curve, baseline, read_parts, read_predictions

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".demo"  # where cleanroom.toml looks for the tables
HOME = FOLDER / "room"
AIRLINE = "111111111111"
TRAIN, HELD_OUT = "january-to-august", "november-december"


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m examples.flight_delay.demo", description=__doc__)
    parser.add_argument("--image", help="an image of this example, in the place of its files")
    parser.add_argument("--engine", default="duckdb", choices=("duckdb", "spark"), help="what runs the queries")
    asked = parser.parse_args(arguments)
    started = time.monotonic()
    clean(HOME)  # of an earlier run; refused while one is going on
    export_tables(FOLDER / "tables")
    say("1. Two parties, and queries over their tables")
    run("declare", declaration(asked.image), *(() if asked.engine == "duckdb" else ("--engine", asked.engine)))
    with Room(HOME) as room:
        channels = {
            each["name"]: channel_folder(room, each["mlInputChannelArn"]) for each in shown()["mlInputChannels"]
        }

    say("\n2. A model of the first months, on 2 hosts")
    run("train", "--request", request("request"), "--quiet")
    first = shown("flight-delay")
    say("\n3. A second version from the first, on the months after")
    base = {"trainedModelArn": first["trainedModelArn"], "channelName": "base"}
    later = request("incremental", incrementalTrainingDataChannels=[base])
    run("train", "--request", later, "--quiet")
    second = shown("flight-delay")
    say("\n4. Predictions for the months that nobody has trained on")
    chosen = {name: second[name] for name in ("trainedModelArn",)}
    chosen["trainedModelVersionIdentifier"] = second["versionIdentifier"]
    run("infer", "--request", request("inference", **chosen), "--quiet")
    job = shown("november-december")

    say("")
    show_versions(first, second)
    show_predictions(job, channels)
    say(f"\nFinished in {time.monotonic() - started:.0f} s. Results are in {near(FOLDER)}/.")
    words = f"--home {near(HOME)}"
    next_commands(
        f".venv/bin/cleanroom-algo show {words}",
        f".venv/bin/cleanroom-algo logs {first['name']} --as {AIRLINE} {words}",
        f"head {near(Path(job['outputs'][0]))}",
        ".venv/bin/cleanroom-algo train examples/flight_delay --channel "
        f"train={near(channels[TRAIN])} --hyperparameter hidden=128 {words}",
    )
    say(
        "\nSee the curves, the predictions, and what each party sees:\n"
        f"  .venv/bin/cleanroom-algo ui {words}\n"
        f"opens http://127.0.0.1:{DEFAULT_PORT} in your browser."
    )
    return 0


def declaration(image: str | None) -> Path:
    """Return the file that declares the room, an image in the place of the algorithm's folder where one is given."""
    path = HERE / "cleanroom.toml"
    if image is None:
        return path
    text = path.read_text(encoding="utf-8").replace('image = "."', f'image = "{image}"')
    copy = FOLDER / path.name
    copy.write_text(text.replace("../../.demo/", ""), encoding="utf-8")  # paths are relative to the file's folder
    return copy


def channel_folder(room: Room, arn: str) -> Path:
    """Return where the part files of a channel lie."""
    record = room.store.get("ml-input-channel", arn)
    assert record is not None
    return room.workspace.files.channel(record)


def request(name: str, **members: Any) -> Path:
    """Return a request file of the example, with members that only this run can know, such as a model's ARN."""
    parameters = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")) | members
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
    return path


def run(*words: object) -> None:
    """Run a command, which shows its progress; end the demo where it fails, as it has said why."""
    line = [*(str(near(word) if isinstance(word, Path) else word) for word in words), "--home", str(near(HOME))]
    say(f"   $ cleanroom-algo {shlex.join(line)}")
    if status := cleanroom_algo(line):
        sys.exit(status)


def shown(*names: str) -> dict[str, Any]:
    """Return what `show --json` prints: of everything in the room, or of one resource."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        cleanroom_algo(["show", *names, "--home", str(HOME), "--json"])
    result: dict[str, Any] = json.loads(output.getvalue())
    return result


def show_versions(*versions: dict[str, Any]) -> None:
    """Print one line per trained version."""
    table(
        ("MODEL", "VERSION", "STATUS", "ROWS SEEN", "STEPS", "LOSS", "SIZE", "CAP"),
        [
            (
                each["name"],
                each.get("versionIdentifier", "base")[:8],
                each["status"],
                each["rows"],
                each["steps"],
                f"{each['metrics']['epoch_train_loss']:.4f}",
                format_bytes(each["rawBytes"]),
                format_bytes(each["maxArtifactBytes"]) if each["maxArtifactBytes"] else "none",
            )
            for each in versions
        ],
    )


def show_predictions(job: dict[str, Any], channels: dict[str, Path]) -> None:
    """Print what an inference job predicted, and how good it is beside the share of late flights at each hour."""
    held_out = read_parts(channels[HELD_OUT])
    truth = held_out["late"].to_numpy()
    scores = read_predictions([Path(path) for path in job["outputs"]])
    trivial = baseline(read_parts(channels[TRAIN]), held_out)
    print()
    table(
        ("INFERENCE JOB", "STATUS", "ROWS", "AUC", "AUC OF THE HOUR ALONE", "OUTPUTS"),
        [
            (
                job["name"],
                job["status"],
                job["rows"],
                f"{area_under_curve(scores, truth):.3f}",
                f"{area_under_curve(trivial, truth):.3f}",
                near(Path(job["outputs"][0]).parent),
            )
        ],
    )


def near(path: Path) -> Path:
    """Return a path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CleanroomError as error:
        say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
