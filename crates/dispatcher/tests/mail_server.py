"""A mail server as an operator has one: the public `aiosmtpd`, and Python's own parser for what it receives.

Usage: mail_server.py JSON with `port` (0 for any) and, when wanted, `certificate`, `key`, `implicit`, `password`.
Prints its port, then a line of JSON for each letter it took. What it does with a letter follows from the recipient:
`refused…` is answered 550, `later…` 451 at first, `stall…` is told of and never answered at first, all others are taken.
"""

import asyncio
import email
import email.policy
import json
import logging
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

options = json.loads(sys.argv[1])
known = set()
# What goes wrong with a connection is what some tests are about.
logging.disable()


def tell(**what):
    print(json.dumps(what), flush=True)


def is_new(address):
    new = address not in known
    known.add(address)
    return new


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, _options):
        if address.startswith("refused"):
            return f"550 5.1.1 <{address}> is unknown here"
        if address.startswith("later") and is_new(address):
            return f"451 4.3.0 <{address}> must wait"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("stall") and is_new(envelope.rcpt_tos[0]):
            tell(stalled=envelope.rcpt_tos[0])
            await asyncio.sleep(3600)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = list(message.walk())
        tell(
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            encrypted=server.transport.get_extra_info("ssl_object") is not None,
            user=getattr(session, "auth_data", None),
            headers={name.lower(): str(value) for name, value in message.items()},
            types=[part.get_content_type() for part in parts],
            text=message.get_body(("plain",)).get_content(),
            html=message.get_body(("html",)).get_content(),
            defects=[str(defect) for part in parts for defect in part.defects],
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = data.password.decode() == options["password"]
    return AuthResult(success=good, handled=False, auth_data=data.login.decode() if good else None)


async def serve():
    context = None
    if "certificate" in options:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certificate"], options["key"])
    implicit = options.get("implicit", False)
    starttls = context if not implicit else None
    protected = "password" in options

    def session():
        return SMTP(
            Handler(),
            hostname="mail.example",
            ident="test",
            enable_SMTPUTF8=True,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=authenticate if protected else None,
            auth_required=protected,
            auth_require_tls=protected and not implicit,
        )

    server = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", options.get("port", 0), ssl=context if implicit else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
