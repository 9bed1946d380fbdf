"""Starts the command line, as the program ``dnn2fpga`` or ``python -m dnn2fpga``."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line and exit with its code."""
    # Whoever interrupts the imports, which take some tenths of a second, gets no traceback.
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dnn2fpga.cli import main as run

    signal.signal(signal.SIGINT, handler)
    run()


if __name__ == "__main__":
    main()
