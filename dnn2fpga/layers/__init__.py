"""The layer kinds. Importing this package registers every module in it: a new kind is a new file and nothing else."""

import importlib
import pkgutil

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")
