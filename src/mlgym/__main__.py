"""`python -m mlgym` is `mlgym`."""

from mlgym.cli.main import main

if __name__ == "__main__":
    main()
