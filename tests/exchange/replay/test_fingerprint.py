"""Equal requests have one fingerprint, other requests have others, and nobody can guess one."""

from app.exchange.replay.fingerprint import FileDigest, edit_document, fingerprint, key_digest

SECRET = b"s" * 32
BODY = b'{"model":"openai/gpt-image-2","prompt":"a house"}'


def test_equal_requests_have_one_fingerprint() -> None:
    assert fingerprint(SECRET, "generation", "b64_json", BODY) == fingerprint(SECRET, "generation", "b64_json", BODY)


def test_whatever_changes_the_request_or_its_answer_changes_the_fingerprint() -> None:
    made = {
        fingerprint(SECRET, "generation", "b64_json", BODY),
        fingerprint(SECRET, "generation", "url", BODY),
        fingerprint(SECRET, "edit", "b64_json", BODY),
        fingerprint(SECRET, "generation", "b64_json", BODY.replace(b"house", b"tree")),
        fingerprint(b"t" * 32, "generation", "b64_json", BODY),
    }
    assert len(made) == 5


def test_an_edit_is_its_fields_and_its_files_in_order() -> None:
    first, second = FileDigest("image", b"1" * 32), FileDigest("image", b"2" * 32)
    document = edit_document({"prompt": "a", "n": 1}, [first, second])
    assert document == edit_document({"n": 1, "prompt": "a"}, [first, second])
    assert document != edit_document({"prompt": "a", "n": 1}, [second, first])
    assert document != edit_document({"prompt": "a", "n": 1}, [first, FileDigest("mask", b"2" * 32)])
    assert document != edit_document({"prompt": "a", "n": 2}, [first, second])


def test_a_key_of_a_caller_is_kept_as_a_digest() -> None:
    assert key_digest(SECRET, "my key") == key_digest(SECRET, "my key")
    assert key_digest(SECRET, "my key") != key_digest(SECRET, "my key ")
    assert "my key" not in key_digest(SECRET, "my key")
