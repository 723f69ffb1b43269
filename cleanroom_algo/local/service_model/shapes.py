"""botocore's service models, loaded once: operations, shapes, errors. No shapes are written by hand."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel, Shape

ML: Final = "cleanroomsml"
CLEANROOMS: Final = "cleanrooms"


@cache
def service_model(service: str) -> ServiceModel:
    """Return the model of a service: `cleanroomsml` or `cleanrooms`."""
    from botocore.loaders import create_loader  # importing it takes longer than `show` should take
    from botocore.model import ServiceModel

    loader = create_loader()
    return ServiceModel(loader.load_service_model(service, "service-2"), service)


@cache
def operation_model(service: str, name: str) -> OperationModel:
    """Return the model of an operation."""
    return service_model(service).operation_model(name)


def operation_names(service: str = ML) -> tuple[str, ...]:
    """Return the names of a service's operations, sorted."""
    return tuple(sorted(service_model(service).operation_names))


def members(shape: Any) -> dict[str, Shape]:
    """Return the members of a structure by name; empty for other shapes."""
    found: dict[str, Shape] = {} if shape is None else shape.members
    return found


def is_read_only(operation: OperationModel) -> bool:
    """Whether an operation changes nothing: its method is GET."""
    method: Any = operation.http["method"]
    return bool(method == "GET")
