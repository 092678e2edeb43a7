"""`python -m fanwire`: the command line."""

from fanwire.cli import main

if __name__ == "__main__":
    main(prog_name="fanwire")
