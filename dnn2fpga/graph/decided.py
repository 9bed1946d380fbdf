"""The tasks of a network's outputs, which both networks know in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from dnn2fpga.graph.ports import only, only_name
from dnn2fpga.task import Interface, Task, unlabelled_task


class Decided(ABC):
    """A frozen dataclass with a field ``decided``: by output, the task that its labels have decided."""

    decided: Mapping[str, Task]

    @property
    @abstractmethod
    def outputs(self) -> Mapping[str, Any]:
        """The outputs, by name."""

    @property
    @abstractmethod
    def interfaces(self) -> dict[str, Interface]:
        """Everything that the task of each output depends on, by the name of the output."""

    @property
    def interface(self) -> Interface:
        """Everything that the task of the only output depends on."""
        return only(self.interfaces, "output")

    @property
    def tasks(self) -> dict[str, Task]:
        """The task of each output: as it was decided, or as its last layer says."""
        return {name: self.decided.get(name) or unlabelled_task(of) for name, of in self.interfaces.items()}

    @property
    def task(self) -> Task:
        """The task of the only output."""
        return only(self.tasks, "output")

    def decided_as(self, task: Task) -> Self:
        """Return the same network, of which the only output has this task.

        :raises ValueError: when there are several outputs.
        """
        return replace(self, decided={only_name(self.outputs, "output"): task})  # type: ignore[type-var]
