"""The transport against a real server that misbehaves in every way: what was sent is always known."""

import asyncio
import contextlib
import gc
import socket
import struct

import httpx2
import pytest

from tests.upstream.asking import NEVER_SENT, Sendings, answer_ok, body_of, both_loops, drop, post, traced, transport
from tests.upstream.raw_server import Connection, answered, serve

anyio_backend = both_loops


class TestSending:
    @pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
    async def test_is_announced_before_the_first_byte(self, kept: bool) -> None:
        connected, release, first_byte = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def answer(connection: Connection) -> None:
            connected.set()
            if kept:
                await connection.read_request()
                await connection.send(answered(b"first"))
            byte = await connection.reader.readexactly(1)
            assert byte == b"P"
            assert release.is_set()
            first_byte.set()
            await connection.read_request()
            await connection.send(answered(b"second"))

        async def on_sending() -> None:
            await connected.wait()
            # A byte already on its way would be read here.
            for _ in range(20):
                await asyncio.sleep(0)
            assert not first_byte.is_set()
            release.set()

        async with serve(answer, reads=False) as server, transport() as opened:
            if kept:
                assert await body_of(await opened.handle_async_request(post(server.url))) == b"first"
            response = await opened.handle_async_request(post(server.url, on_sending))
            assert await body_of(response) == b"second"
            assert server.connections_made == 1

    @pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
    @pytest.mark.parametrize("error", [ValueError("no"), OSError("no"), TimeoutError("no"), ConnectionResetError("no")])
    async def test_nothing_is_sent_when_the_announcement_fails(self, error: Exception, kept: bool) -> None:
        received, closed = bytearray(), asyncio.Event()

        async def answer(connection: Connection) -> None:
            if kept and not received:
                await connection.read_request()
                received.extend(b"first")
                await connection.send(answered(b"first"))
                await answer(connection)
                return
            received.extend(await connection.reader.read())
            closed.set()

        async def refuse() -> None:
            raise error

        async with serve(answer, reads=False) as server:
            async with transport(connections_max=1) as opened:
                if kept:
                    await body_of(await opened.handle_async_request(post(server.url)))
                with pytest.raises(type(error)) as raised:
                    await opened.handle_async_request(post(server.url, refuse))
                assert raised.value is error
                # The connection is given back: the pool of one has room again.
                with pytest.raises(ValueError, match="again"):
                    await opened.handle_async_request(post(server.url, self._refuse_again))
                assert server.connections_made == 1
            await closed.wait()
            assert bytes(received) == (b"first" if kept else b"")

    @staticmethod
    async def _refuse_again() -> None:
        raise ValueError("again")

    async def test_may_be_announced_slowly(self) -> None:
        """Neither the connect timeout nor the wait for the answer runs while the ledger writes."""
        release = asyncio.Event()

        async def on_sending() -> None:
            asyncio.get_running_loop().call_later(0.3, release.set)
            await release.wait()

        async with serve(answer_ok) as server, transport(connect_seconds=0.1, silence_seconds=0.2) as opened:
            assert await body_of(await opened.handle_async_request(post(server.url, on_sending))) == b"ok"

    async def test_sends_what_the_request_says_and_nothing_else(self) -> None:
        headers = {"authorization": "Bearer k", "x-a": "b"}
        async with serve(answer_ok) as server, transport() as opened:
            request = httpx2.Request("POST", f"{server.url}/a%2Fb?c=%20d", headers=headers, content=b"{}")
            await body_of(await opened.handle_async_request(request))
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        assert line == "POST /a%2Fb?c=%20d HTTP/1.1"
        assert sorted(field.lower() for field in fields) == [
            "authorization: bearer k",
            "content-length: 2",
            f"host: 127.0.0.1:{server.port}",
            "x-a: b",
        ]
        assert body == b"{}"

    async def test_sends_megabytes(self) -> None:
        content = bytes(range(256)) * 20_000
        async with serve(answer_ok) as server, transport() as opened:
            await body_of(await opened.handle_async_request(post(server.url, content=content)))
            assert server.requests[0].endswith(b"\r\n\r\n" + content)

    async def test_of_a_header_that_holds_another_never_begins(self) -> None:
        sendings = Sendings()
        async with serve(answer_ok) as server, transport() as opened:
            request = post(server.url, sendings)
            request.headers["content-type"] = "a\r\nx-injected: b"
            with pytest.raises(httpx2.LocalProtocolError):
                await opened.handle_async_request(request)
            assert (sendings.count, server.connections_made) == (0, 0)

    async def test_ignores_proxies_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        async with serve(answer_ok) as server, transport() as opened:
            assert await body_of(await opened.handle_async_request(post(server.url))) == b"ok"


class TestWithoutAConnection:
    async def test_refused(self) -> None:
        sendings = Sendings()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        async with transport() as opened:
            with pytest.raises(httpx2.ConnectError):
                await opened.handle_async_request(post(f"http://127.0.0.1:{port}", sendings))
        assert sendings.count == 0

    async def test_no_such_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(*_: object, **__: object) -> object:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", fail)
        sendings = Sendings()
        async with transport() as opened:
            with pytest.raises(httpx2.ConnectError):
                await opened.handle_async_request(post("http://images.invalid", sendings))
        assert sendings.count == 0

    async def test_an_impossible_host(self) -> None:
        async with transport() as opened:
            with pytest.raises(httpx2.ConnectError):
                await opened.handle_async_request(post(f"http://{'a' * 64}.invalid"))

    async def test_no_tls_there(self) -> None:
        async def speak_plainly(connection: Connection) -> None:
            await connection.reader.read(1)
            await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        sendings = Sendings()
        async with serve(speak_plainly, reads=False) as server, transport() as opened:
            with pytest.raises(httpx2.ConnectError):
                await opened.handle_async_request(post(f"https://127.0.0.1:{server.port}", sendings))
        assert sendings.count == 0

    async def test_tls_that_never_finishes(self) -> None:
        sendings = Sendings()
        async with (
            serve(Connection.until_client_closes, reads=False) as server,
            transport(connect_seconds=0.2) as opened,
        ):
            with pytest.raises(httpx2.ConnectTimeout):
                await opened.handle_async_request(post(f"https://127.0.0.1:{server.port}", sendings))
        assert sendings.count == 0

    async def test_nobody_accepts(self) -> None:
        sendings = Sendings()
        with socket.create_server(("127.0.0.1", 0), backlog=0) as unanswering:
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:  # the queue is full after one or two; the rest wait as our request will
                filler.setblocking(False)
                filler.connect_ex(unanswering.getsockname())
            async with transport(connect_seconds=0.2) as opened:
                with pytest.raises(httpx2.ConnectTimeout):
                    await opened.handle_async_request(
                        post(f"http://127.0.0.1:{unanswering.getsockname()[1]}", sendings)
                    )
            for filler in fillers:
                filler.close()
        assert sendings.count == 0

    async def test_no_free_one(self) -> None:
        arrived, sendings = asyncio.Event(), Sendings()

        async def keep_waiting(connection: Connection) -> None:
            arrived.set()
            await connection.until_client_closes()
            raise EOFError

        async with (
            serve(keep_waiting) as server,
            transport(connect_seconds=0.2, connections_max=1) as opened,
            asyncio.TaskGroup() as group,
        ):
            first = group.create_task(opened.handle_async_request(post(server.url)))
            await arrived.wait()
            with pytest.raises(httpx2.PoolTimeout):
                await opened.handle_async_request(post(server.url, sendings))
            first.cancel()
        assert sendings.count == 0


class TestAfterSending:
    async def check(self, answer: str, error: type[httpx2.TransportError]) -> None:
        """`answer` to a request, then the connection closes: `error`, and never a second request."""
        sendings = Sendings()

        async def send(connection: Connection) -> None:
            await connection.send(answer.encode("latin-1"))
            raise EOFError

        async with serve(send) as server, transport() as opened:
            with pytest.raises(error) as raised:
                await opened.handle_async_request(post(server.url, sendings))
            assert not isinstance(raised.value, NEVER_SENT)
            assert (sendings.count, len(server.requests), server.connections_made) == (1, 1, 1)

    @pytest.mark.parametrize("answer", ["", "HTTP/1.1 200 OK\r\nContent-"])
    async def test_a_drop_is_never_taken_for_a_refused_connection(self, answer: str) -> None:
        await self.check(answer, httpx2.ReadError)

    @pytest.mark.parametrize(
        "answer",
        [
            "what?\r\n\r\n",
            "\x16\x03\x01 binary \x00\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx-huge: " + "x" * 100_000 + "\r\n\r\n",
            "HTTP/1.1 200 OK\r\n" + "x-many: x\r\n" * 10_000 + "\r\n",
        ],
    )
    async def test_garbage(self, answer: str) -> None:
        await self.check(answer, httpx2.RemoteProtocolError)

    async def test_a_reset(self) -> None:
        sendings = Sendings()
        async with serve(drop) as server, transport() as opened:
            with pytest.raises(httpx2.ReadError):
                await opened.handle_async_request(post(server.url, sendings))
            assert (sendings.count, len(server.requests)) == (1, 1)

    @pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
    async def test_a_kept_connection_that_dies_under_a_request(self, method: str) -> None:
        """HTTP clients like to try idempotent methods again; here nothing is."""
        sendings = Sendings()

        async def answer_once(connection: Connection) -> None:
            if len(server.requests) > 1:
                raise EOFError
            await answer_ok(connection)

        async with serve(answer_once) as server, transport() as opened:
            await body_of(await opened.handle_async_request(post(server.url)))
            request = httpx2.Request(method, server.url, extensions=traced(sendings))
            with pytest.raises(httpx2.ReadError):
                await opened.handle_async_request(request)
            assert (sendings.count, len(server.requests)) == (1, 2)

    async def test_a_kept_connection_that_was_closed_while_idle_is_not_used(self) -> None:
        gone = asyncio.Event()

        async def answer_and_close(connection: Connection) -> None:
            await answer_ok(connection)
            connection.writer.write_eof()
            await connection.until_client_closes()
            gone.set()
            raise EOFError

        async with serve(answer_and_close) as server, transport() as opened:
            assert await body_of(await opened.handle_async_request(post(server.url))) == b"ok"
            await gone.wait()
            assert await body_of(await opened.handle_async_request(post(server.url))) == b"ok"
            assert server.connections_made == 2

    async def test_silence(self) -> None:
        async with serve(Connection.until_client_closes) as server, transport(silence_seconds=0.2) as opened:
            with pytest.raises(httpx2.ReadTimeout):
                await opened.handle_async_request(post(server.url))
            assert len(server.requests) == 1

    async def test_a_server_that_does_not_read(self) -> None:
        sendings, finish = Sendings(), asyncio.Event()

        async def do_nothing(connection: Connection) -> None:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every real transport has it
            await finish.wait()

        async with serve(do_nothing, reads=False) as server, transport(silence_seconds=0.3) as opened:
            with pytest.raises(httpx2.ReadTimeout):
                await opened.handle_async_request(post(server.url, sendings, content=bytes(64_000_000)))
            finish.set()
        assert sendings.count == 1

    async def test_interim_answers_are_passed_over(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
            await answer_ok(connection)

        async with serve(send) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            assert (response.status_code, await body_of(response)) == (200, b"ok")

    async def test_interim_answers_without_end_are_no_answer(self) -> None:
        async def send(connection: Connection) -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            raise EOFError

        async with serve(send) as server, transport() as opened:
            with pytest.raises(httpx2.RemoteProtocolError, match="interim"):
                await opened.handle_async_request(post(server.url))

    async def test_cancelling_drops_the_connection(self) -> None:
        arrived, gone = asyncio.Event(), asyncio.Event()

        async def answer(connection: Connection) -> None:
            arrived.set()
            await connection.until_client_closes()
            gone.set()
            raise EOFError

        async with serve(answer) as server, transport() as opened, asyncio.TaskGroup() as group:
            asking = group.create_task(opened.handle_async_request(post(server.url)))
            await arrived.wait()
            asking.cancel()
            await gone.wait()


class TestAnswers:
    async def test_status_headers_and_body_come_as_they_are(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(answered(b"<no>", "X-A: 1", "x-a: 2", "Set-Cookie: a=b", status="404 Not Here"))

        async with serve(send) as server, transport() as opened:
            for _ in range(2):
                response = await opened.handle_async_request(post(server.url))
                assert response.status_code == 404
                assert response.headers.get_list("x-a") == ["1", "2"]
                assert await body_of(response) == b"<no>"
            assert server.connections_made == 1  # a body read to its end gives its connection back
            assert b"ookie" not in server.requests[1]

    async def test_a_redirect_is_an_answer(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(answered(b"", f"Location: {server.url}/else", status="307 Temporary Redirect"))

        async with serve(send) as server, transport() as opened:
            assert (await opened.handle_async_request(post(server.url))).status_code == 307
            assert len(server.requests) == 1

    async def test_bytes_come_as_they_are_sent(self) -> None:
        taken = asyncio.Event()

        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            await taken.wait()
            await connection.send(b"3\r\ntwo\r\n0\r\n\r\n")

        async with serve(send) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            chunks = []
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            async for chunk in response.stream:
                chunks.append(chunk)
                taken.set()
            assert chunks == [b"one", b"two"]

    @pytest.mark.parametrize(
        ("head", "rest"),
        [
            (b"Content-Length: 10\r\n\r\n12345", b""),
            (b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", b""),
            (b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", b"zz\r\n"),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\n12345678\r\n0\r\n\r\n"),
        ],
    )
    async def test_a_body_that_breaks_off(self, head: bytes, rest: bytes) -> None:
        begun = asyncio.Event()

        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\n" + head)
            await begun.wait()
            await connection.send(rest)
            raise EOFError

        async with serve(send) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            begun.set()
            with pytest.raises(httpx2.ReadError):
                await body_of(response)
            await response.aclose()
            assert len(server.requests) == 1

    async def test_a_body_that_stalls(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
            await connection.until_client_closes()

        async with serve(send) as server, transport(silence_seconds=0.2) as opened:
            response = await opened.handle_async_request(post(server.url))
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            chunks = aiter(response.stream)
            assert await anext(chunks) == b"12345"
            with pytest.raises(httpx2.ReadTimeout):
                await anext(chunks)
            await response.aclose()

    async def test_a_slow_reader_stops_the_sender_and_is_no_silence(self) -> None:
        total, stuck, finished = 64_000_000, asyncio.Event(), asyncio.Event()
        sent = 0

        async def send(connection: Connection) -> None:
            nonlocal sent
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
            for _ in range(total // 64_000):
                connection.writer.write(bytes(64_000))
                draining = asyncio.ensure_future(connection.writer.drain())
                done, _waiting = await asyncio.wait([draining], timeout=0.6)
                if not done:
                    stuck.set()
                await draining
                sent += 64_000
            finished.set()

        async with serve(send) as server, transport(silence_seconds=0.3) as opened:
            response = await opened.handle_async_request(post(server.url))
            await stuck.wait()
            assert sent < total / 2  # what the kernel's buffers hold
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            received = largest = 0
            async for chunk in response.stream:
                received += len(chunk)
                largest = max(largest, len(chunk))
            assert received == total
            assert largest < 600_000  # what the engine had read ahead

    async def test_closing_before_the_end_drops_the_connection(self) -> None:
        gone = asyncio.Event()

        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
            await connection.until_client_closes()
            gone.set()

        async with serve(send) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            await response.aclose()
            await gone.wait()

    async def test_reading_on_after_the_transport_was_closed(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            await connection.until_client_closes()

        async with serve(send) as server:
            async with transport() as opened:
                response = await opened.handle_async_request(post(server.url))
            with pytest.raises(httpx2.ReadError):
                await body_of(response)
            await response.aclose()

    async def test_closing_the_transport_wakes_who_reads(self) -> None:
        async def send(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
            await connection.until_client_closes()

        async with serve(send) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            chunks = aiter(response.stream)
            assert await anext(chunks) == b"12345"
            waiting = asyncio.ensure_future(anext(chunks))
            await asyncio.sleep(0)
            await opened.aclose()
            with pytest.raises(httpx2.ReadError):
                await waiting
            await response.aclose()

    async def test_a_kept_connection_that_is_reset_is_no_news(self) -> None:
        told = list[dict[str, object]]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        begun, reset = asyncio.Event(), asyncio.Event()

        async def answer_then_reset(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await begun.wait()
            await connection.send(b"ok")
            await reset.wait()
            raw = connection.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await drop(connection)

        async with serve(answer_then_reset) as server, transport() as opened:
            response = await opened.handle_async_request(post(server.url))
            begun.set()
            assert await body_of(response) == b"ok"
            await response.aclose()
            reset.set()
            for _ in range(50):
                await asyncio.sleep(0)
            assert await body_of(await opened.handle_async_request(post(server.url))) == b"ok"
            assert server.connections_made == 2
        del response
        gc.collect()
        assert told == []

    async def test_it_is_a_transport_for_httpx2s_client(self) -> None:
        async with serve(answer_ok) as server, transport() as opened, httpx2.AsyncClient(transport=opened) as client:
            answer = await client.post(server.url, json={"a": 1})
            assert (answer.status_code, answer.content) == (200, b"ok")
            assert (await client.get(server.url)).text == "ok"
