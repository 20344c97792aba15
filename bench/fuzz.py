"""Fuzz the reading of texts and the matching of cues: python -m bench.fuzz --minutes 10

One process looks for crashes and wrong spans (bench.invariants), guided by coverage. This one times
whatever that finds new, repeated to 20,000 characters, in a process that is not instrumented.
What fails is kept in tests/fuzz_corpus, whose files a test replays. Needs pip install -e '.[fuzz]'.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from bench.invariants import FORMATS, FULL_CHARS, MAX_COST_S, cost, decode

CORPUS = Path(__file__).parents[1] / "tests" / "fuzz_corpus"
_MAX_INPUT_BYTES = 120
# What the formats and cues are written with; libFuzzer inserts these whole.
_PIECES = """
![ [ ] ]( ](a) [a]: * ** _ ` `` ``` ~~~ > - 1. \\ # --- === < <a <b> </b> <!-- --> <? ]]> <![CDATA[ <script> </script>
& &amp; &#65; &#x5d0; " ' http:// www. a.b @a #a a@b.co 😀 ❤️ 👨‍👩‍👧 🇮🇱 1️⃣ ש מצטערים אם נפגעת ה ו־ ״
sorry if you should have نعتذر إذا كان عليك لا ـ َ ּ … ؟ ! . , ( ) | {{ ~ ^ =
""".split()

Found = tuple[float, str, bytes]  # seconds, format, input


@click.command()
@click.option("--minutes", type=float, default=10, show_default=True)
def main(minutes: float) -> None:
    """Look for texts that crash, mislead or slow the reading and matching; exit 1 where there are any."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found")
        shutil.copytree(CORPUS, found)
        words = Path(folder, "words")
        words.write_bytes(b"\n".join(b'"%s"' % _escaped(piece.encode()) for piece in _PIECES))
        fuzzer = subprocess.Popen(
            [
                sys.executable, "-m", "bench.fuzz_target", str(found), f"-max_total_time={minutes * 60:.0f}",
                f"-max_len={_MAX_INPUT_BYTES}", f"-dict={words}", f"-artifact_prefix={CORPUS}/", "-timeout=10",
                "-print_final_stats=1", "-verbosity=0",
            ]
        )  # fmt: skip
        try:
            slowest = _slowest(found, fuzzer)
        finally:
            fuzzer.terminate()
    for seconds, form, data in slowest.values():
        click.echo(f"slowest {form:8} {seconds * 1000:4.0f} ms for {FULL_CHARS} characters of {decode(data)!r}")
    too_slow = [data for seconds, _, data in slowest.values() if seconds >= MAX_COST_S]
    for data in too_slow:
        (CORPUS / f"slow-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
    sys.exit(1 if too_slow or fuzzer.returncode else 0)


def _slowest(found: Path, fuzzer: subprocess.Popen[bytes]) -> dict[str, Found]:
    """Time the inputs of a fuzzer while it runs; the slowest by format."""
    slowest: dict[str, Found] = {}
    for data in _new_files(found, fuzzer):
        for form in FORMATS if data else ():
            slowest[form] = max(slowest.get(form, (0.0, form, b"")), (cost(decode(data), form), form, data))
    return slowest


def _new_files(folder: Path, fuzzer: subprocess.Popen[bytes]) -> Iterator[bytes]:
    seen: set[Path] = set()
    while fuzzer.poll() is None:
        new = next((path for path in folder.iterdir() if path not in seen), None)
        if new is None:
            time.sleep(0.1)
        else:
            seen.add(new)
            yield new.read_bytes()


def _escaped(piece: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in piece)


if __name__ == "__main__":
    main()
