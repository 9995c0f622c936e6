"""The defaults work as they are."""

from app.sandbox.options import SandboxOptions


def test_the_default_clock_knows_utc_and_ids_differ() -> None:
    options = SandboxOptions()
    offset = options.clock().utcoffset()
    assert offset is not None
    assert not offset
    assert options.new_request_id() != options.new_request_id()


def test_an_edit_may_upload_what_is_documented() -> None:
    assert SandboxOptions().upload_bytes_max >= 17 * 50_000_000
