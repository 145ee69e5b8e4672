"""One request on its way through the simulator, as scenarios see it."""

import time

from http_messages import json_reply


class Call:
    def __init__(self, connection, service, request, nth):
        self.connection = connection
        self.request = request
        self.nth = nth  # request of this connection, from 1
        self.params = dict(request.query)
        self.action = request.headers.get("x-acs-action")
        self.scenario = None
        self._service = service
        self._answer = None

    @property
    def host(self):
        return self.request.headers.get("host", "")

    @property
    def service_sid(self):
        """The one that it names; a search by an ID alone is of that message's."""
        found = self.verification() if self.action == "SearchVerification" else None
        return self.params.get("ServiceSid", found.service_sid if found else "")

    def now(self):
        """The service's clock, which a scenario may have put forward."""
        return time.time() + (self.scenario.skew_seconds if self.scenario else 0)

    def carry_out(self):
        """Lets the service act, once however often this is called; its normal answer, as a dict."""
        if self._answer is None:
            self._answer = self._service.perform(self.action, self.params, self._announce)
        return self._answer

    @property
    def answer(self):
        return self.carry_out()

    def verification(self):
        """The stored verification that the call is about, or None."""
        return self._service.find(self.params.get("VerificationId"))

    def reply(self):
        return json_reply(self.answer)

    def send_head(self, reply):
        self.connection.send(reply.head(self.now()))

    def _announce(self, verification):
        self.connection.event("sent", to=verification.to, channel=verification.channel,
                              service_sid=verification.service_sid, verification_id=verification.verification_id,
                              code=verification.code)

    def log_request(self, error):
        request = self.request
        extra = {} if request.signature_ok or not request.canonical else {"canonical_request": request.canonical}
        self.connection.event(
            "request", action=self.action or f"{request.method} {request.path}", method=request.method,
            path=request.path, params=self.params, headers=request.headers,
            nonce=request.headers.get("x-acs-signature-nonce"), signature_ok=request.signature_ok, error=error,
            scenario=self.scenario.name if self.scenario else None, nth=self.nth, reused=self.nth > 1, **extra)
