"""The command's entry: turns every error into one clear line and an exit code."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130
NOT_JUDGED = 3


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command.

    Args:
        arguments: as typed, without the program's name.

    Returns:
        0 healthy, 1 failed or broken, 2 warned, 3 could not judge, 130 interrupted.
    """
    debug = "--debug" in arguments
    try:
        from payhealth.cli import invoke

        return invoke(arguments)
    except KeyboardInterrupt:
        print("payhealth: interrupted; nothing was left half-written", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_JUDGED
    except Exception as error:  # noqa: BLE001 - the last stop: nobody shall meet a traceback unasked
        return _explain(error, debug=debug)


def _explain(error: Exception, *, debug: bool) -> int:
    from payhealth.domain.errors import PayhealthError

    if debug:
        import traceback

        traceback.print_exception(error)
    from payhealth.report.escape import printable

    if isinstance(error, PayhealthError):
        lines = [f"payhealth: {error.message}", *([f"  {error.hint}"] if error.hint else [])]
    else:
        lines = [
            f"payhealth: an error of payhealth itself: {type(error).__name__}: {error}",
            "  run the same command with --debug and report what it prints",
        ]
    print("\n".join(printable(line.replace("\n", " ")) for line in lines), file=sys.stderr)  # noqa: T201
    return NOT_JUDGED


if __name__ == "__main__":
    main()
