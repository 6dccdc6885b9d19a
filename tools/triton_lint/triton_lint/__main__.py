"""`python -m triton_lint`."""

from triton_lint.command import main

main(prog_name="triton-lint")
