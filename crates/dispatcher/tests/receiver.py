"""A receiver of webhooks as a customer would write it: it checks every delivery with the public `standardwebhooks` library.

Usage: receiver.py SECRET. Prints its port, then a line of JSON for each request: whether the library took it, and what it
said. Answers 204 to what verifies and 400 to what does not.
"""

import http.server
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(sys.argv[1])


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            payload, error = webhook.verify(body, headers), None
        except WebhookVerificationError as refused:
            payload, error = None, str(refused)
        print(json.dumps({"headers": headers, "payload": payload, "error": error}), flush=True)
        self.send_response(400 if error else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
