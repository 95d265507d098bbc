"""What `shakedown monitor` refuses before it listens."""

import pytest


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["mqtt://127.0.0.1:1"], "Connection refused"),
        (["127.0.0.1:1883"], "is not a broker"),
        (["http://127.0.0.1"], "is not a broker"),
        (["mqtt://127.0.0.1:99999"], "is not a broker"),
        (["mqtt://"], "is not a broker"),
        (["mqtt://me:secret@127.0.0.1"], "seen by everybody"),
        (["mqtt://127.0.0.1", "--password-env", "NOT_SET_ANYWHERE"], "no such variable"),
        (["mqtt://127.0.0.1", "--password-file", "absent"], "does not exist"),
        (["mqtt://127.0.0.1", "--password-file", "empty"], "first line is empty"),
        (["mqtt://127.0.0.1", "--password-file", "full"], "needs a user"),
        (["mqtt://127.0.0.1", "--password-file", "full", "--password-env", "HOME"], "Give one of them"),
        (["mqtt://127.0.0.1", "--ca", "full"], "no usable certificate"),
        (["mqtts://127.0.0.1", "--key", "full"], "Give both"),
        (["mqtt://127.0.0.1", "--for", "0"], "0"),
    ],
)
def test_what_cannot_be_is_refused(line, args, words):
    (line.folder / "empty").write_text("")
    (line.folder / "full").write_text("secret\n")
    found = line.here("monitor", *args)
    assert found.returncode == 2
    assert words in " ".join(found.stderr.split())
    assert "secret" not in found.stderr
