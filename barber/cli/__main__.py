"""`python -m barber.cli`: the `barber` command."""

from barber.__main__ import main

main()
