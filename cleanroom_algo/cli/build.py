"""`build`: the image of an algorithm."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from cleanroom_algo.cli.options import json_option
from cleanroom_algo.cli.output import command_line, emit_json, fields, next_commands, say


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("algorithm", type=click.Path(path_type=Path))
@click.option("--tag", help="Tag of the image. Defaults to the algorithm's name.")
@click.option(
    "--engine",
    type=click.Choice(["docker", "podman", "buildah"]),
    help="Container engine. Defaults to the first that responds.",
)
@click.option("--python", help="Version of Python, 3.11 or later. Defaults to 3.11.")
@click.option(
    "--base-image", help="Image based on Debian or Ubuntu, by name or digest. Defaults to python:VERSION-slim-bookworm."
)
@click.option(
    "--torch",
    type=click.Choice(["cpu", "cuda", "none"]),
    help="Build of PyTorch. Defaults to cpu if a package index has it, otherwise cuda.",
)
@click.option("--torch-index", help="Additional package index, for example for CPU builds of PyTorch.")
@json_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(
    algorithm: Path,
    tag: str | None,
    engine: str | None,
    python: str | None,
    base_image: str | None,
    torch: str | None,
    torch_index: str | None,
    as_json: bool,
    options: tuple[str, ...],
) -> None:
    r"""Build an image that trains and serves ALGORITHM, a Python file or a folder.

    The image also gets the packages in requirements.txt (Python) and apt.txt (Debian) of the folder. OPTIONS after `--`
    are passed to the `build` command of the engine.

    \b
    Examples:
      cleanroom-algo build my_algorithm.py
      cleanroom-algo build examples/flight_delay --tag flight-delay:1
      cleanroom-algo build my_algorithm/ --engine podman -- --no-cache
    """
    from cleanroom_algo.contract.algorithm import algorithm_file
    from cleanroom_algo.local.hosts.engine import find_engine
    from cleanroom_algo.local.images.build import ENGINES, build, write_context

    if not (algorithm.is_dir() and (algorithm / "train").is_file()):
        algorithm_file(algorithm)
    chosen = find_engine(*((engine,) if engine else ENGINES))
    tag = tag or algorithm.resolve().stem.lower().replace("_", "-")
    with tempfile.TemporaryDirectory(prefix="cleanroom-build-") as context:
        write_context(algorithm, Path(context))
        build(
            Path(context),
            tag,
            engine=chosen,
            arguments={
                "PYTHON_VERSION": python,
                "BASE_IMAGE": base_image,
                "TORCH": torch,
                "TORCH_INDEX": torch_index,
                "SCHEMA_HASH": _schema_hash(algorithm),
            },
            more=options,
            say=say,
        )
    result = {"image": tag, "engine": chosen}
    if as_json:
        emit_json(result)
        return
    fields(result)
    next_commands(command_line("check", tag), command_line("train", tag, "--channel", "NAME=FOLDER"))


def _schema_hash(algorithm: Path) -> str:
    """Return the hash of the Trainer's schema; "" for an algorithm without one."""
    from cleanroom_algo.contract.algorithm import find_class, load_algorithm
    from cleanroom_algo.errors import AlgorithmClassError, AlgorithmNotFoundError
    from cleanroom_algo.training.trainer import Trainer

    try:
        return find_class(load_algorithm(algorithm), Trainer).schema.hash
    except (AlgorithmClassError, AlgorithmNotFoundError):
        return ""
