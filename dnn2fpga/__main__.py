"""Starts the command line, as the program ``dnn2fpga`` or ``python -m dnn2fpga``."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line and exit with its code."""
    # Whoever interrupts these imports, of the standard library only, gets no traceback.
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dnn2fpga.cli.process import run_to_its_end

    signal.signal(signal.SIGINT, handler)
    run_to_its_end(_command)


def _command() -> None:
    from dnn2fpga.cli.app import app  # what it needs may be missing: that has to be told, too

    app()


if __name__ == "__main__":
    main()
