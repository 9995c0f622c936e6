"""Printing and asking: what goes where, tables that can be copied from, questions nobody answers."""

import json
import os
import pty
import select
import subprocess
import sys
from contextlib import suppress

import pytest
import typer

from app.cli.terminal import output

WIDE = ["7y2mbq4k9x0a", "a name that is rather long " * 12]


def test_a_table_in_a_pipe_is_never_folded(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(["id", "name", "count"], [[*WIDE, "3"], ["x", "y", "12"]], right=["count"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "   ".join(WIDE).strip() in lines[2]
    assert lines[2].endswith("    3")
    assert lines[3].endswith("   12")


def test_a_table_shows_words_as_they_are_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(["name"], [["[red]alice[/red] :smile:"], ["bob\x1b[2J\r\n"]])
    told = capsys.readouterr().out
    assert "[red]alice[/red] :smile:" in told
    assert "\x1b" not in told
    assert "\r" not in told


def test_lines_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_lines({"key": "a", "name": "", "user": "alice\x07"})
    assert capsys.readouterr().out == "key   a\nuser  alice\N{REPLACEMENT CHARACTER}\n"


def test_answers_and_remarks_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    output.show("the key")
    output.say("shown once")
    output.show_json({"名": 1})
    captured = capsys.readouterr()
    assert captured.out.startswith("the key\n")
    assert json.loads(captured.out.removeprefix("the key\n")) == {"名": 1}
    assert captured.err == "shown once\n"


def test_what_cannot_be_read_names_the_option() -> None:
    def parse() -> None:
        raise ValueError("'x' is not a duration")

    with pytest.raises(output.WrongUse, match="--expires: 'x' is not a duration"):
        output.read("--expires", parse)
    assert output.read("--count", lambda: 3) == 3


def test_nobody_is_asked_where_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115, PTH123 - closed with the interpreter's own
    with pytest.raises(output.WrongUse, match=r"Really\? .* add --yes") as raised:
        output.confirm("Really?", yes=False)
    assert raised.value.exit_code == 2
    output.confirm("Really?", yes=True)
    sys.stdin.close()


ASKING = "from app.cli.terminal.output import confirm, show; confirm('Disable it?', yes=False); show('done')"


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [("y\n", 0, "done"), ("n\n", 1, "Nothing was changed."), ("\n", 1, "Nothing was changed.")],
)
def test_a_person_is_asked_and_silence_is_a_no(answer: str, code: int, told: str) -> None:
    ours, theirs = pty.openpty()
    program = f"import typer\ntry:\n  exec({ASKING!r})\nexcept typer.Exit as e: raise SystemExit(e.exit_code)"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux says EIO when the other end is closed
        while select.select([ours], [], [], 30)[0] and (chunk := os.read(ours, 4096)):
            shown += chunk
            if b"[y/N]" in shown and answer:
                os.write(ours, answer.encode())
                answer = ""
    os.close(ours)
    assert process.wait(30) == code
    assert told in shown.decode()


def test_the_person_at_the_terminal_is_named_in_the_list_of_changes() -> None:
    assert output.Terminal(actor="cli:test").who == "cli:test"
    assert output.Terminal().who.startswith("cli")


def test_the_terminal_comes_from_the_context() -> None:
    context = typer.Context(typer.main.get_command(_app()), obj=output.Terminal(actor="x"))
    assert output.Terminal.of(context).actor == "x"


def _app() -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def nothing() -> None: ...

    return app


@pytest.mark.parametrize("rows", [[], [{"a": 1, "名": ["x", {"y": "line\nand line\u2028"}]}], [1, {"b": None}, "text"]])
def test_rows_are_printed_one_by_one_as_one_value(rows: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    output.show_json(rows)
    whole = capsys.readouterr().out
    output.show_json_rows(iter(rows))
    assert capsys.readouterr().out == whole
