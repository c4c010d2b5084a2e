from __future__ import annotations

import traceback

from sparc_fw.status import _last_words


def trace_of(message: str, cause: str | None = None) -> str:
    try:
        try:
            if cause is not None:
                raise KeyError(cause)
        except KeyError as error:
            raise RuntimeError(message) from error
        raise RuntimeError(message)
    except RuntimeError:
        return traceback.format_exc()


def test_the_reason_is_the_message_of_the_last_exception() -> None:
    assert _last_words(trace_of("too few labels\nof many")) == "RuntimeError: too few labels\nof many"
    assert _last_words(trace_of("later", cause="earlier")) == "RuntimeError: later"


def test_a_message_that_quotes_a_traceback_is_told_whole() -> None:
    quoted = 'diverged; its last lines:\n  File "train.py", line 3\n    step()\nValueError: NaN detected'
    assert _last_words(trace_of(quoted)) == f"RuntimeError: {quoted}"
    assert _last_words("no traceback at all") == "no traceback at all"
