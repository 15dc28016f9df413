"""`python -m everslide.server` is the command `everslide`."""

from everslide.server.cli import main

if __name__ == "__main__":
    main(prog_name="everslide")
