"""Train and evaluate a network on clips of faces.

Without arguments: AGDTNet on rendered faces, made on the spot, in a few minutes on two CPU cores.
With --list and --test-list: on clips of your own, whose frames lie in folders.
"""

import sys
from collections.abc import Sequence
from io import TextIOWrapper

from dfer.errors import BadInput
from dfer.stopping import Stopped, stoppable
from dfer.training.command_line import parse
from dfer.training.processes import OtherProcessLost, leave, this_process
from dfer.training.run_folder import CHECKPOINT


def main(argv: Sequence[str] | None = None) -> int:
    # Line by line also into a file or a pipe: a run of hours should be followed while it goes on.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    process = this_process()
    # Of several processes each says who it is; what the command line has wrong, the first alone says.
    name = "train.py" if process.count == 1 else f"train.py: process {process.rank}"
    try:
        settings = parse(argv, prog="train.py", description=__doc__)
    except BadInput as error:
        if process.first:
            print(f"train.py: {error}", file=sys.stderr)
        return 2
    try:
        with stoppable():
            # Here, not above: to import Lightning takes seconds, and a mistyped flag should answer at once.
            from dfer.training.run import run

            run(settings)
    except BadInput as error:
        # A loader's worker hands its error on inside a traceback, whose last line it is.
        print(f"{name}: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    except (Stopped, OtherProcessLost) as stop:
        begun = (settings.out / CHECKPOINT).exists()
        advice = "the same command with --resume goes on from the last epoch" if begun else "no epoch was finished"
        print(f"{name}: {stop}; {advice}", file=sys.stderr)
        return stop.exit_code
    return 0


if __name__ == "__main__":
    leave(main())
