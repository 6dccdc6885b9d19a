"""`python -m triton_traces`."""

from triton_traces.command import main

main()
