from app.files.sending import FILE_PART, file_parts, sends_files


def test_parts_follow_each_other_to_the_end() -> None:
    parts = list(file_parts(5, 10, 20_000_000))
    assert {(part["type"], part["file"], part["more_body"]) for part in parts} == {(FILE_PART, 5, True)}
    ends = [part["offset"] + part["count"] for part in parts]
    assert [part["offset"] for part in parts] == [10, *ends[:-1]]
    assert ends[-1] == 20_000_000
    assert max(part["count"] for part in parts) <= 4_194_304  # docs/logs.md
    assert list(file_parts(5, 7, 7)) == []


def test_only_a_server_that_says_so_sends_files() -> None:
    assert sends_files({"extensions": {FILE_PART: {}}})
    assert not sends_files({"extensions": {}})
    assert not sends_files({})
