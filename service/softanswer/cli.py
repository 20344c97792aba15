"""The command line."""

from __future__ import annotations

import sys

import click

from softanswer.cues.check import check


@click.group()
def main() -> None:
    """Softanswer scores a brand's draft before it is published."""


@main.command("check-data")
@click.option("--language", help="Only this language (a tag such as 'ar').")
@click.option("--file", "file_name", help="Only faults in this file (such as 'spam.yaml').")
def check_data(language: str | None, file_name: str | None) -> None:
    """Lint the language files: every fault with its path and line."""
    faults = [f for f in check(only=language) if file_name is None or f"/{file_name}:" in f]
    for fault in faults:
        click.echo(fault)
    click.echo(f"{len(faults)} faults" if faults else "no faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
