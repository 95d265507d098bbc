"""The plant file: how a line physically behaves and what its vendors' tags look like (docs/plant.md).

Impossible physics is refused here; what concerns more than one part of the file is checked in `checks.py`. A message
reads `what - remedy`; who loads the file adds where it stands and the value.
"""

from __future__ import annotations

from pydantic import ValidationError, ValidatorFunctionWrapHandler, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shakedown.twin.line.checks import problems
from shakedown.twin.line.plant_model import PlantModel
from shakedown.twin.line.problem import Place


class Plant(PlantModel):
    """One line: machines in the order of flow, a conveyor between each two, and the tags that show them."""

    @model_validator(mode="wrap")
    @classmethod
    def _consistent(cls, data: object, handler: ValidatorFunctionWrapHandler) -> Plant:
        plant: Plant = handler(data)
        if found := problems(plant):
            raise ValidationError.from_exception_data(cls.__name__, [_detail(*problem) for problem in found])
        return plant


def _detail(place: Place, value: object, message: str) -> InitErrorDetails:
    """One problem as pydantic reports it; the message goes in as a value, for it may hold braces."""
    return InitErrorDetails(
        type=PydanticCustomError("plant", "{message}", {"message": message}), loc=place, input=value
    )
