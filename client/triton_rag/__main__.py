"""`triton-rag` and `python -m triton_rag`."""

import signal
import sys


def main() -> int:
    """Ctrl-C ends it without words until a command can say what it has done."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a shell's background jobs ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from triton_rag import cli

    signal.signal(signal.SIGINT, before)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
