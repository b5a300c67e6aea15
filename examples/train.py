"""Train and evaluate a network on clips of faces.

Without arguments, trains AGDTNet on rendered faces in a few minutes on two CPU cores. With --list and --test-list,
trains on your own clips, as folders of frames.
"""

import sys
from collections.abc import Sequence
from io import TextIOWrapper

from dfer.errors import BadInput
from dfer.stopping import Stopped, stoppable
from dfer.training.command_line import parse
from dfer.training.device import OtherProcessLost, leave, this_process
from dfer.training.run_folder import CHECKPOINT


def main(argv: Sequence[str] | None = None) -> int:
    # Flush each line, so that a log file shows the progress of a run of hours.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    process = this_process()
    # Each process prints its rank; only rank 0 reports command-line errors.
    name = "train.py" if process.count == 1 else f"train.py: process {process.rank}"
    try:
        settings = parse(argv, prog="train.py", description=__doc__)
    except BadInput as error:
        if process.first:
            print(f"train.py: {error}", file=sys.stderr)
        return 2
    try:
        with stoppable():
            # Imported here because Lightning takes seconds, and a mistyped flag should be reported at once.
            from dfer.training.run import run

            run(settings)
    except BadInput as error:
        # An error in a loader's worker arrives as a traceback; its last line is the message.
        print(f"{name}: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    except (Stopped, OtherProcessLost) as stop:
        begun = (settings.out / CHECKPOINT).exists()
        advice = "run the same command with --resume to continue" if begun else "no epoch was finished"
        print(f"{name}: {stop}; {advice}", file=sys.stderr)
        return stop.exit_code
    return 0


if __name__ == "__main__":
    leave(main())
