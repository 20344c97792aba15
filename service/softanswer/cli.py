"""The command line: serve, score, bulk, keys, check-data, train-heads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from softanswer.cues.check import check
from softanswer.cues.files import ROOT, TAGS
from softanswer.domain import Context, Draft, Format, Hint, Kind, Report, SoftanswerError, Span
from softanswer.keys import SCOPES, KeyStore
from softanswer.receipts import SigningKeys
from softanswer.settings import Settings

_COLOURS = {"publish": "green", "revise": "yellow", "hold": "red", "high": "red", "medium": "yellow", "low": "blue"}
# First-strong isolates: a line of Hebrew or Arabic keeps its own direction and disturbs nothing around it.
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
_BAR_CELLS = 20


@click.group()
def main() -> None:
    """Softanswer scores a brand's draft before it is published."""


@main.command()
def serve() -> None:
    """Start the service (settings: SOFTANSWER_* in the environment)."""
    try:
        settings = Settings.from_environment()
        settings.check_access()
    except SoftanswerError as error:
        raise click.ClickException(str(error)) from error
    if not (settings.model / "heads.json").exists():
        raise click.ClickException(f"{settings.model} holds no heads; `softanswer train-heads` makes such a folder.")
    arguments = ["-m", "gunicorn", "--config", "python:softanswer.gunicorn_conf", "softanswer.app:create_app()"]
    os.execv(sys.executable, [sys.executable, *arguments])


@main.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--to", "message", default="", help="The message that the draft answers.")
@click.option("--kind", type=click.Choice(["reply", "post"]), help="Default: a reply if there is --to, else a post.")
@click.option("--format", "text_format", type=click.Choice(["plain", "html", "markdown"]), default="plain")
@click.option("--hint-language", type=click.Choice(TAGS), help="Default: the draft's.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as the API gives it.")
def score(
    file: BinaryIO, message: str, kind: Kind | None, text_format: Format, hint_language: str | None, as_json: bool
) -> None:
    """Score a draft from FILE or standard input."""
    try:
        text = file.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"The draft is not UTF-8: byte {error.start}.") from error
    if not text.strip():
        raise click.UsageError("The draft is empty.")
    draft = Draft(text, kind, text_format, hint_language=hint_language, context=Context(in_reply_to=message))
    # Loaded here, since the model takes seconds and the other commands don't need it.
    from softanswer.api.render import render
    from softanswer.app import build_pipeline

    try:
        settings = Settings.from_environment()
        if len(text) > settings.max_chars:
            raise click.ClickException(f"The draft is longer than {settings.max_chars} characters.")
        pipeline = build_pipeline(settings)
    except SoftanswerError as error:
        raise click.ClickException(str(error)) from error
    report = pipeline.run([draft])[0]
    if as_json:
        click.echo(json.dumps(render(report, pipeline.versions), ensure_ascii=False, indent=2))
    else:
        print_report(report)


@main.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@click.option(
    "--column", "columns", multiple=True, metavar="FIELD=COLUMN",
    help="Take a field of the draft (text, context.in_reply_to, brand.name, ...) from this column; may be given often.",
)  # fmt: skip
@click.option("--gain", is_flag=True, help="Measure what each hint gains; several times slower.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=os.cpu_count, help="Processes, or actors on Ray. Default: cores."
)
@click.option("--ray", "address", metavar="ADDRESS", help="Run on this Ray cluster: auto, local or ray://HOST:PORT.")
def bulk(source: Path, out: Path, columns: tuple[str, ...], gain: bool, workers: int, address: str | None) -> None:
    """Score all drafts of IN (JSONL, CSV or Parquet). Run it again to go on where it was stopped.

    Exits with 0 where every row was scored, with 3 where bad ones were put aside, with 1 where
    it could not be done.
    """
    from softanswer.bulk_command import run_bulk

    with _faults_told():
        sys.exit(run_bulk(source, out, columns, gain, workers, address))


@main.group()
def keys() -> None:
    """Make, list and revoke API keys, in the file that SOFTANSWER_KEYS names."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", type=click.Choice(SCOPES), multiple=True, default=["score"], help="May be given twice."
)
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Make a key for NAME and print it, this once."""
    with _faults_told():
        key = _key_store().create(name, scopes)
    click.echo(key)
    click.echo("Keep it: only its hash is stored, and it cannot be shown again.", err=True)


@keys.command("list")
def list_keys() -> None:
    """List the keys: id, name, scopes, when made, when revoked."""
    with _faults_told():
        found = _key_store().all()
    for key in found:
        revoked = f"revoked {key.revoked}" if key.revoked else ""
        click.echo("\t".join((key.id, key.name, ",".join(key.scopes), f"created {key.created}", revoked)).rstrip())


@keys.command()
@click.argument("id")
def revoke(id: str) -> None:
    """Revoke the key with this ID; services that run refuse it from now on."""
    with _faults_told():
        _key_store().revoke(id)
    click.echo(f"{id} is revoked.")


@keys.command()
def signing() -> None:
    """Make the key that signs receipts from now on, in the file that SOFTANSWER_SIGNING_KEYS names.

    The keys before it stay published until the last receipt that they signed has expired.
    """
    with _faults_told():
        path = Settings.from_environment().signing_keys
        if path is None:
            raise click.ClickException("SOFTANSWER_SIGNING_KEYS names no file for the signing keys.")
        click.echo(SigningKeys(path).create())


@contextmanager
def _faults_told() -> Iterator[None]:
    """Tell a fault of ours without a trace."""
    try:
        yield
    except SoftanswerError as error:
        raise click.ClickException(str(error)) from error


def _key_store() -> KeyStore:
    path = Settings.from_environment().keys
    if path is None:
        raise click.ClickException("SOFTANSWER_KEYS names no file for the keys.")
    return KeyStore(path)


@main.command("check-data")
@click.option("--language", type=click.Choice(TAGS), help="Only this language.")
@click.option("--file", "file_name", help="Only faults in this file (such as 'spam.yaml').")
def check_data(language: str | None, file_name: str | None) -> None:
    """Lint the language files: every fault with its path and line."""
    if file_name and not list(ROOT.glob(f"*/{file_name}")):
        raise click.BadParameter(f"no language has a file {file_name}", param_hint="--file")
    faults = [f for f in check(only=language) if file_name is None or f"/{file_name}:" in f]
    for fault in faults:
        click.echo(fault)
    click.echo(f"{len(faults)} faults" if faults else "no faults")
    sys.exit(1 if faults else 0)


@main.command("train-heads")
@click.argument("encoder")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The folder to write, for SOFTANSWER_MODEL."
)
@click.option("--languages", default=",".join(TAGS), help="The languages that the encoder reads.")
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True), help="Public sets to learn from (training/README.md)."
)
def train(encoder: str, out: Path, languages: str, data: Path | None) -> None:
    """Fit heads for ENCODER, a sentence-transformers model by name or folder."""
    try:
        from training.heads import train_heads
    except ImportError as error:
        raise click.ClickException("train-heads needs a checkout: pip install -e '.[training]' in it.") from error
    tags = languages.split(",")
    if unknown := set(tags) - set(TAGS):
        raise click.BadParameter(f"not a language of ours: {', '.join(sorted(unknown))}", param_hint="--languages")
    try:
        train_heads(encoder, out, tags, data)
    except OSError as error:
        raise click.ClickException(f"{encoder} cannot be loaded: {error}") from error
    click.echo(f"Written. Serve it with SOFTANSWER_MODEL={out}")


# --- the readable report ---------------------------------------------------------------------


def print_report(report: Report) -> None:
    """Print a report for a person: verdict, scores as bars, the text with its hints underlined."""
    action = report.verdict.action
    click.secho(action.upper(), fg=_COLOURS[action], bold=True, nl=False)
    reasons = [
        f"{r.cue or ''} {r.score or ''} {'' if r.value is None else f'{r.value:.2f}'}".strip()
        for r in report.verdict.reasons
    ]
    click.echo(f"  {', '.join(reasons)}" if reasons else "")
    for each in report.scores:
        filled = round(each.value * _BAR_CELLS)
        bar = "█" * filled + "░" * (_BAR_CELLS - filled)
        click.echo(f"  {each.name:14} {bar} {each.value:.2f}  {each.label or each.band}")
    for missing in report.not_evaluated:
        click.echo(f"  {missing.check:14} not evaluated: {missing.reason.replace('_', ' ')}")
    click.echo()
    click.echo(_underlined(report))
    for number, hint in enumerate(report.hints, 1):
        _print_hint(number, hint, report)


def _underlined(report: Report) -> str:
    text = report.analysis.text
    out, at = "", 0
    for hint in sorted(report.hints, key=lambda h: h.span):
        if hint.span.start >= at and hint.span.end > hint.span.start:
            out += text.visible[at : hint.span.start]
            out += click.style(text.slice(hint.span), underline=True, fg=_COLOURS[hint.severity])
            at = hint.span.end
    out += text.visible[at:]
    return "\n".join(f"  {_ISOLATE}{line}{_END_ISOLATE}" for line in out.split("\n"))


def _print_hint(number: int, hint: Hint, report: Report) -> None:
    click.echo()
    quote = report.analysis.text.slice(Span(*hint.span))
    heading = f"{number}. {hint.cue}" + (f"  {_ISOLATE}{quote}{_END_ISOLATE}" if quote else "")
    click.secho(heading, fg=_COLOURS[hint.severity])
    click.echo(f"   {_ISOLATE}{hint.message}{_END_ISOLATE}")
    for words in hint.replacements[:3]:
        click.echo(f"   → {_ISOLATE}{words.strip()}{_END_ISOLATE}" if words.strip() else "   → (remove)")
    if hint.gain:
        changes = ", ".join(f"{name} {change:+.2f}" for name, change in hint.gain.items() if abs(change) >= 0.005)
        click.echo(f"   {changes}" if changes else "")


if __name__ == "__main__":
    main()
