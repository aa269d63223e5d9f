"""`python -m barber.cli`: the `barber` command."""

from barber.cli import main

main()
