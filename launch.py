"""The command line of a checkout; attention-jax where the package is installed."""

from attention.lab.commands.main import console, main

__all__ = ["main"]

if __name__ == "__main__":
    console()
