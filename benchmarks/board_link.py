"""Images through the simulated design of a whole board and the serial driver; writes docs/measurements/board_link.md.

    python benchmarks/board_link.py work/mnist ulx3s_85f mnist_test.npz [--frames 1000] [--noise 0.01]

``work/mnist`` holds a generated bundle. Once on a clean line, once with bytes lost and changed in both directions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from reporting import markdown_table, show_progress  # noqa: E402 - needs the path above

from dnn2fpga.data import load_data  # noqa: E402
from dnn2fpga.drive.run import SIMULATED, BoardRun, run_on_board  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.work_folder import WorkFolder  # noqa: E402

REPORT = ROOT / "docs" / "measurements" / "board_link.md"
HEADS = (
    "corrupted bytes, in both directions",
    "images",
    "equal in every number",
    "accuracy on the board, software",
    "latency, cycles (planned)",
    "corrupted bytes",
    "answers damaged",
    "frames refused",
    "timeouts",
    "input bytes sent again",
    "seconds",
)


def row(noise: float, run: BoardRun) -> tuple[object, ...]:
    told = run.statistics
    (output,) = run.outputs.values()
    shortest, longest = run.latency_cycles
    latency = f"{shortest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    return (
        f"{noise:.1%}",
        f"{run.frames:,}",
        f"{run.equal:,}",
        f"{output.score:.2%}, {output.software_score:.2%}",
        f"{latency} ({run.planned_latency_cycles:,})",
        *(
            f"{told[name]:,}"
            for name in ("corrupted_bytes", "damaged_answers", "refused_frames", "timeouts", "resent_bytes")
        ),
        f"{run.seconds:,.0f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("board")
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=0.01)
    given = parser.parse_args()
    graph = config_files.load(WorkFolder(given.work).current_bundle().path)
    data = load_data(given.data, graph).sample(given.frames)
    rows = []
    for noise in (0.0, given.noise):
        run = run_on_board(given.work, data, given.board, SIMULATED, progress=show_progress, noise=noise)
        rows.append(row(noise, run))
        print(rows[-1], flush=True)
    table = "\n".join(markdown_table(HEADS, rows))
    text = f"""# A board's design, simulated, with its serial line

Written by `python benchmarks/board_link.py`. Model `{graph.name}` on the design of `{given.board}` in Verilator: pins,
UART, host link, accelerator. The driver talks to it through a pseudo-terminal, as it would to the board; half of the
corrupted bytes are lost, half are changed.

{table}
"""
    REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
