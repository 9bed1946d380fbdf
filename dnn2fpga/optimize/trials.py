"""Trials of a search with two objectives, score up and cost down, kept in a journal.

Only finished trials are written, and what is tried next follows from them and the seed alone: an interrupted search
resumes as if nothing had happened, and leaves nothing to clean up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.progress import Progress

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

DIRECTIONS: tuple[Literal["maximize", "minimize"], ...] = ("maximize", "minimize")
SEARCHING = "searching widths"
DRAWS = 20  # of which all must have been tried already, for the search to count as complete

Selection = dict[str, int]  # by parameter, the place of what was chosen in the list of what may be


class Trials:
    """:param options: by parameter, how many there are to choose from. They have an order, which the sampler uses.
    :param first: choices that are tried before any is sampled.
    """

    def __init__(self, file: Path, key: str, options: Mapping[str, int], first: Sequence[Selection], seed: int) -> None:
        self.file, self.key, self.options, self.first, self.seed = file, key, options, first, seed

    def run(
        self,
        wanted: int,
        values: Callable[[int, Selection], tuple[float, float]],
        progress: Progress,
    ) -> list[FrozenTrial]:
        """The first ``wanted`` trials, after those that were missing have been run; fewer when all has been tried.

        :param values: score and cost of a numbered choice.
        """
        from optuna.trial import create_trial

        study = self._study()
        for number in range(len(study.trials), wanted):
            progress(SEARCHING, number, wanted)
            choice = self._choice(number, study.trials)
            if choice is None:
                break
            reached = values(number, choice)
            study.add_trial(create_trial(params=choice, distributions=self._distributions, values=reached))
        progress(SEARCHING, wanted, wanted)
        return study.trials[:wanted]

    def _study(self) -> Study:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(self.file)
            storage = JournalStorage(JournalFileBackend(str(self.file)))
            return optuna.create_study(storage=storage, study_name=self.key, directions=DIRECTIONS, load_if_exists=True)
        except OSError as error:
            problem = f"cannot be written: {error.strerror}; choose another folder with -o"
            raise UserError(f"{self.file}: {problem}") from error
        except (ValueError, KeyError) as error:
            raise UserError(f"{self.file}: cannot be read ({error}); delete it to search from the beginning") from error

    @property
    def _distributions(self) -> dict[str, BaseDistribution]:
        from optuna.distributions import IntDistribution

        return {name: IntDistribution(0, count - 1) for name, count in self.options.items()}

    def _choice(self, number: int, finished: Sequence[FrozenTrial]) -> Selection | None:
        """Return the next trial; None when nothing new is found."""
        import optuna

        if number < len(self.first):
            return self.first[number]
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        # Samples parameters together, because the widths of neighbouring layers depend on each other (measured:
        # better fronts than one by one, NSGA-II and chance).
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
        study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
        study.add_trials(finished)
        tried = [trial.params for trial in finished]
        for _ in range(DRAWS):
            drawn = study.ask(self._distributions).params
            if drawn not in tried:
                return drawn
        return None


def _drop_torn_line(file: Path) -> None:
    """Drop a line that was being written when the process was killed: the next entry would be appended to it."""
    written = file.read_bytes() if file.exists() else b""
    if not written.endswith(b"\n"):
        file.write_bytes(written[: written.rfind(b"\n") + 1])
