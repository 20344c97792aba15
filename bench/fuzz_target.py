"""What libFuzzer drives: any bytes as a text. Run by bench.fuzz, with libFuzzer's own arguments."""

import sys

import atheris

with atheris.instrument_imports(include=["softanswer.text", "softanswer.cues", "markdown_it", "linkify_it"]):
    from bench.invariants import check, decode, matchers


def try_one(data: bytes) -> None:
    check(decode(data))


if __name__ == "__main__":
    matchers()
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
