"""Raw reads of one HTTP/1.1 answer into status, headers and body parts that remember the read which brought them."""

import httptools


class ResponseParser:
    """Incremental. Feed it the reads in order; `parts` are (index of the read, body bytes), `ended` says the message is whole.

    Interim 1xx answers are passed over. Bytes after the end are an error: nothing was asked that they could answer.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._has_length = False
        self.reads_fed = 0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[tuple[int, bytes]] = []
        self.ended = False
        self.keep_alive = False

    def feed(self, read: bytes) -> None:
        """Raises httptools.HttpParserError on bytes that are not HTTP, or that follow the end."""
        if self.ended:
            raise httptools.HttpParserError("bytes follow the end of the answer")
        try:
            self._parser.feed_data(read)
        except httptools.HttpParserUpgrade as error:
            raise httptools.HttpParserError("the server wants to change the protocol") from error
        self.reads_fed += 1

    def on_message_begin(self) -> None:
        """Called by httptools: a second message may only follow an interim one."""
        if self.ended:
            raise httptools.HttpParserError("a second answer follows the first")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each header."""
        self.headers.append((name, value))
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._has_length = True

    def on_headers_complete(self) -> None:
        """Called by httptools after the head."""
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Called by httptools for each piece of the body."""
        self.parts.append((self.reads_fed, body))

    def on_message_complete(self) -> None:
        """Called by httptools at the end of a message."""
        if 100 <= self.status < 200:
            self.status, self.headers, self._has_length = 0, [], False
            return
        self.ended = True
        self.keep_alive = bool(self._parser.should_keep_alive())

    def header(self, name: bytes) -> bytes:
        """The value of the first header of that lower-case name, in lower case; empty when absent."""
        return next((value.lower() for key, value in self.headers if key.lower() == name), b"")

    @property
    def may_end_by_close(self) -> bool:
        """Whether a closed connection is a proper end of this message: its head is here and states no length."""
        return self.status > 0 and not self._has_length
