"""`triton-rag` and `python -m triton_rag`."""

import signal
import sys


def main() -> int:
    """Run the command line; Ctrl-C ends it silently until a command can report what it has done."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # in a shell's background jobs it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from triton_rag import cli

    signal.signal(signal.SIGINT, before)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
