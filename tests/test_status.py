from __future__ import annotations

import traceback
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.documents import FROM_FILE, Label
from sparc_fw.label_facts import Tally
from sparc_fw.sentences import suspect_sentences
from sparc_fw.status import _last_words
from sparc_fw.store import Store


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


def a_label(key: str, **values: Any) -> Label:
    made: dict[str, Any] = {"energy": -1.0, "forces": np.zeros((2, 3)), "seconds": 2.0, "code": "xtb", "key": key}
    frame = Atoms("H2", [(0, 0, 0), (0, 0, 0.8)], info={"system": "h2"})
    return Label(frame, **{"status": "ok", **made, **values})


def test_what_changed_of_labels_since_the_last_look_is_counted(store: Store) -> None:
    store.save_labels([a_label("a"), a_label("b", status="failed", reason="timeout")], "one", 0, 1)

    def counted(*keys: str) -> Tally:
        tally = Tally(store.label_facts("one", keys))
        tally.add(keys)
        return tally

    tally = counted("a", "b", "c")
    assert tally.counts() == {"ok": 1, "failed": 1, "missing": 1}
    assert tally.failures() == {"timeout": 1}
    assert store.label_facts("one", []).hits() == {"labels": 0, "seconds": 0.0}
    # Another campaign imports one and computes the failed one anew; this one asks again.
    store.save_labels([a_label("b"), a_label("c", code=FROM_FILE)], "two", 0, 2)
    store.ask(["a", "b"], "one", 1, 3)
    store.flag_suspect("a", "one", 0, "h2", {"predicted_energy": -9.0})
    tally = counted("a", "b", "c")
    assert tally.counts() == {"ok": 3, "failed": 0, "missing": 0}
    assert tally.paid() == 2
    assert tally.suspects() == {"pending": 1, "confirmed": 0, "dropped": 0, "unchecked": 0}
    assert [(source["code"], source["labels"]) for source in tally.sources()] == [("xtb", 2), (FROM_FILE, 1)]
    # Once for "a"; for "b" both its failure, which another campaign paid to replace, and the second time.
    assert store.label_facts("one", []).hits() == {"labels": 3, "seconds": 6.0}
    store.judge_suspect("a", "dropped", "another state", a_label("a", energy=-9.0))
    tally = counted("a", "b", "c")
    assert tally.failures() == {"wrong_state": 1}
    assert tally.suspects() == {"pending": 0, "confirmed": 0, "dropped": 1, "unchecked": 0}
    # No second calculation could be made: the label stays good, and nobody asks for it again.
    store.flag_suspect("b", "one", 0, "h2", {"predicted_energy": -9.0})
    store.judge_suspect("b", "unchecked", "there is no other way", None)
    tally = counted("a", "b", "c")
    assert tally.suspects() == {"pending": 0, "confirmed": 0, "dropped": 1, "unchecked": 1}
    assert tally.counts() == {"ok": 2, "failed": 1, "missing": 0}
    assert store.judged_suspects(["a", "b", "c"]) == {"a", "b"}
    told = suspect_sentences({"iterations": [{"suspects": tally.suspects()}]})
    assert told[0] == "1 labels were suspected of a wrong state and computed again: 0 confirmed, 1 dropped."
    assert told[1].startswith("1 labels are suspected of a wrong state and could not be checked")
