"""Verifies a callback, given as JSON on the command line, with the reference implementation of Standard Webhooks."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

secret, delivery = sys.argv[1], json.loads(sys.argv[2])
body, headers = delivery["body"], delivery["headers"]

content = Webhook(secret).verify(body, headers)
assert content["data"]["id"] == delivery["id"], content
assert content["type"] and content["timestamp"], content

try:
    Webhook("whsec_" + "A" * 32).verify(body, headers)
    raise SystemExit("another key fits as well")
except WebhookVerificationError:
    pass
