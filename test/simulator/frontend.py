"""Serves one connection: reads requests, has them admitted, and lets the service or a scenario answer."""

import time

from call import Call
from credentials import STS_VERSION
from gateway import Refusal
from http_messages import BadRequest, Reply, read_request
from scenarios import Scenarios

SERVICE_VERSION = "2017-07-25"


class Frontend:
    def __init__(self, gateway, service, endpoints):
        self._gateway = gateway
        self._service = service
        self._endpoints = endpoints
        self._scenarios = Scenarios()

    def serve(self, connection):
        nth = 0
        try:
            while self._exchange(connection, nth := nth + 1):
                pass
        except BadRequest as error:
            connection.event("reply", status=400, code=None, detail=str(error))
            connection.send(Reply(400, str(error).encode(), "text/plain", {"Connection": "close"}).render(time.time()))

    def _exchange(self, connection, nth):
        """One request and its reply; false where the connection is to be closed."""
        request = read_request(connection)
        if request is None:
            connection.closed_by("peer")
            return False
        call = Call(connection, self._service, request, nth)
        reply = self._answer(call)
        if reply is None:
            return False
        if request.wants_close:
            reply.headers["Connection"] = "close"
        connection.event("reply", status=reply.status, code=reply.code)
        connection.send(reply.render(call.now()))
        return not request.wants_close

    def _answer(self, call):
        """The reply, or None where a scenario has written its own and the connection is at its end."""
        respond, error = self._admit(call)
        call.log_request(error and error.code)
        if error:
            return error.reply(call.host)
        try:
            return respond()
        except Refusal as refusal:
            return refusal.reply(call.host)

    def _admit(self, call):
        """Who is to answer, and why nobody is."""
        try:
            unsigned = self._endpoints.find(call.request)
            if unsigned:
                return lambda: unsigned(call.request), None
            call.scenario = self._scenarios.find(call)
            if call.request.path == "/redirected":
                call.connection.event("redirected", method=call.request.method)
            self._gateway.admit(call.request, call.now())
            return self._route(call), None
        except Refusal as refusal:
            return None, refusal

    def _route(self, call):
        version = call.request.headers["x-acs-version"]
        require_shape(call.request)
        if (version, call.action) == (STS_VERSION, "AssumeRole"):
            return lambda: self._endpoints.assume_role(call.request)
        if version != SERVICE_VERSION or not self._service.has(call.action):
            raise Refusal(404, "InvalidApi.NotFound", "Specified api is not found, please check your url and method.")
        require_bare_body(call.request)
        if call.scenario:
            return lambda: call.scenario.run(call)
        return call.reply


def require_shape(request):
    if request.path != "/":
        raise Refusal(404, "InvalidApi.NotFound", "The path of an RPC-style request is /.")
    if request.method != "POST":
        raise Refusal(405, "UnsupportedHTTPMethod", "The method is not supported.")
    names = [name for name, _ in request.query]
    if len(names) != len(set(names)):
        raise Refusal(400, "InvalidParameter", "A parameter is given twice.")


def require_bare_body(request):
    """Business parameters are in the query; whatever is in the body would be ignored, so it is a client's mistake."""
    if request.body:
        raise Refusal(400, "InvalidParameter.Body", "The body must be empty.")
    if "content-type" in request.headers:
        raise Refusal(400, "InvalidParameter.ContentType", "An empty body has no Content-Type.")
