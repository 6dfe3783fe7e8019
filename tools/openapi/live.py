"""Lets the fuzzer ask for live queries: they have no end, so that it is told their beginning, one event, and hangs up."""

from urllib.parse import urlsplit

import requests

# More than this before the first event is none.
FIRST_EVENT_BYTES_MAX = 1 << 20

send = requests.Session.send


def begin(session, request, **options):
    if not urlsplit(request.url).path.endswith("/live"):
        return send(session, request, **options)
    response = send(session, request, **{**options, "stream": True})
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        begun = b""
        for part in response.iter_content(chunk_size=None):
            begun += part
            if b"\ndata: " in begun and begun.endswith(b"\n\n"):
                break
            assert len(begun) <= FIRST_EVENT_BYTES_MAX, "no event"
        assert b"\ndata: " in begun, "it ends before the first event"
        response._content = begun
        response._content_consumed = True
        response.close()
    else:
        # Whole, as everything else is.
        response.content
    return response


requests.Session.send = begin
