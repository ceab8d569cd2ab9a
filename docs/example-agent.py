"""A whole agent for Mayfly, in Python and without dependencies: it repeats what it is told. See docs/agents.md."""

import json
import os
import socketserver
from http.server import BaseHTTPRequestHandler

TOKEN = os.environ["MAYFLY_TOKEN"]
SOCKET = os.environ["MAYFLY_LISTEN"].removeprefix("unix:")


def answer(message):
    """Yields the chunks of an answer (https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol)."""
    yield {"type": "start"}
    yield {"type": "text-start", "id": "text-1"}
    for word in f"You said: {message}".split():
        yield {"type": "text-delta", "id": "text-1", "delta": word + " "}
    yield {"type": "text-end", "id": "text-1"}
    yield {"type": "finish", "finishReason": "stop"}


class Agent(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.allowed() and self.path == "/health":
            session = os.environ.get("MAYFLY_SESSION")
            self.reply(200, {"status": "healthy", "sessionId": session, "turn": None})
        else:
            self.reply(404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.allowed():
            self.reply(401, {})
        elif self.path == "/chat":
            self.start(200, "text/event-stream", ("x-vercel-ai-ui-message-stream", "v1"))
            for number, chunk in enumerate(answer(json.loads(body)["message"]), 1):
                self.wfile.write(f"id: {number}\ndata: {json.dumps(chunk)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")
        else:  # POST /turns/{turn}/cancel: an answer is over before it could be cancelled.
            self.reply(202, {})

    def allowed(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def start(self, status, content_type, *headers):
        self.send_response(status)
        for name, value in (("Content-Type", content_type), *headers):
            self.send_header(name, value)
        self.end_headers()

    def reply(self, status, body):
        self.start(status, "application/json")
        self.wfile.write(json.dumps(body).encode())

    def address_string(self):
        return "hub"


socketserver.ThreadingUnixStreamServer(SOCKET, Agent).serve_forever()
