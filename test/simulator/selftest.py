#!/usr/bin/env python3
"""Tests of the simulator itself: that it agrees with the known answers, and that no scenario brings it down."""

import contextlib
import http.client
import json
import socket
import ssl
import tempfile
import time
import unittest
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import scenarios
import signature
from client import Client, SimulatorProcess, utc_now

VECTORS = Path(__file__).parent.parent / "vectors" / "sign_v3.json"
README = Path(__file__).with_name("README.md")
START = {"Channel": "SMS", "To": "6281234567890", "ServiceSid": "FA00000000000001"}
ARGUMENTS = {
    "code": ["MOBILE_NUMBER_ILLEGAL", "200"], "code-sent": ["InternalError", "500"], "throttled": ["250"],
    "slow": ["20"], "drip": ["1"], "drip-headers": ["1"], "status": ["503"], "redirect": ["302"], "html": ["502"],
    "xml": ["503"], "deepish": ["30"], "skew": ["3600"], "pages": ["25"], "drip-from": ["headers", "1"],
    "stall-at": ["line"], "close-at": ["headers"], "reset-at": ["head"], "garbage-at": ["body"], "http2": ["goaway"],
    "bigmessage": ["1000"], "echo": ["100"], "longid": ["1000"], "slow-skew": ["20"], "one": ["masked"],
    "held": ["smoke"], "held-skew": ["smoke"],
}
ENOUGH_BYTES = 4 << 20
SCENARIO_SECONDS = 0.4
PATIENCE_SECONDS = 30  # for what is sure to come, on a busy machine


class KnownAnswers(unittest.TestCase):
    def test_signature_agrees_with_the_known_answers(self):
        for case in json.loads(VECTORS.read_text())["cases"]:
            with self.subTest(case["name"]):
                self.check_case(case)

    def check_case(self, case):
        pairs = list(case["query"].items())
        headers = {
            "host": case["host"], "x-acs-action": case["action"], "x-acs-version": case["version"],
            "x-acs-date": case["date"], "x-acs-signature-nonce": case["nonce"],
            "x-acs-content-sha256": signature.sha256_hex(b""),
        }
        if "security_token" in case:
            headers["x-acs-security-token"] = case["security_token"]
        canonical = signature.canonical_request(case["method"], "/", pairs, headers, signature.sha256_hex(b""))
        self.assertEqual(signature.canonical_query(pairs), case["canonical_query"])
        self.assertEqual(signature.sha256_hex(canonical.encode()), case["hashed_canonical_request"])
        signed = signature.sign(case["access_key_secret"], signature.string_to_sign(canonical))
        self.assertEqual(signed, case["signature"])

    def test_reserved_characters_are_encoded_as_rfc_3986_wants(self):
        self.assertEqual(signature.percent_encode("aZ09-_.~ *+/=é"), "aZ09-_.~%20%2A%2B%2F%3D%C3%A9")


class Live(unittest.TestCase):
    """One simulator for a whole class; that it wrote nothing to standard error is part of every test."""

    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.simulator = SimulatorProcess(cls.folder.name, *cls.arguments)
        cls.client = Client(cls.simulator)

    @classmethod
    def tearDownClass(cls):
        errors, code = cls.simulator.close()
        cls.folder.cleanup()
        if errors or code:
            raise AssertionError(f"the simulator exited with {code} and wrote:\n{errors}")

    def call(self, action, params, status=200, **bent):
        """The body of the reply, whose status is asserted."""
        got, body = self.client.call(action, params, **bent)
        self.assertEqual(got, status, body)
        return body

    def wait_until(self, condition):
        """A client may have left before the simulator logs what it did."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)


class Operations(Live):
    def test_a_number_is_verified_and_found(self):
        to = START | {"To": "6280000000001"}
        started = self.call("StartVerification", to)
        self.assertIs(started["Success"], True)
        model = started["Model"]
        identity = model["verificationId"]
        self.assertIn("/", identity)
        self.assertIn("+", identity)

        wrong = self.call("CheckVerification", {"Code": "x", "VerificationId": identity})
        self.assertEqual((wrong["Code"], wrong["Success"], wrong["Model"]["status"]), ("OK", "true", "pending"))
        right = self.call("CheckVerification", {"Code": model["verifyCode"], "VerificationId": identity})
        self.assertEqual((right["Success"], right["Model"]["status"]), ("true", "approved"))
        self.assertEqual(right["Model"]["phoneNumber"], to["To"])

        found = self.call("SearchVerification", {"To": to["To"], "ServiceSid": to["ServiceSid"]})
        self.assertTrue(found["RequestId"].endswith("\n"))
        self.assertEqual([(record["verificationId"], record["status"]) for record in found["Model"]["records"]],
                         [(identity, "approved")])
        sent = [line for line in self.simulator.log("sent") if line["to"] == to["To"]]
        self.assertEqual([line["code"] for line in sent], [model["verifyCode"]])

    def test_search_pages_newest_first_and_filters(self):
        to = START | {"To": "6280000000002"}
        identities = [self.call("StartVerification", to)["Model"]["verificationId"] for _ in range(5)]
        search = {"To": to["To"], "PageSize": "2"}
        pages = [self.call("SearchVerification", search | {"CurrentPage": str(page)})["Model"] for page in (1, 2, 3, 4)]
        found = [record["verificationId"] for page in pages for record in page["records"]]
        self.assertEqual(found, identities[::-1])
        self.assertEqual((pages[0]["totalPage"], pages[0]["totalCount"]), (3, 5))
        last = pages[0]["records"][0]["sendDate"]
        later = self.call("SearchVerification", {"To": to["To"], "SendDate": str(last + 1)})
        self.assertEqual(later["Model"]["records"], [])

    def test_business_errors_come_with_http_200(self):
        wrong = [("StartVerification", START | {"To": "123456"}), ("StartVerification", START | {"Channel": "FAX"}),
                 ("StartVerification", {"Channel": "SMS", "To": START["To"]}),
                 ("CheckVerification", {"Code": "1", "VerificationId": "unknown"}),
                 ("SearchVerification", {"CurrentPage": "0"})]
        for action, params in wrong:
            with self.subTest(action=action, params=params):
                body = self.call(action, params)
                self.assertEqual((body["Code"], body["Success"]), ("INVALID_PARAMETERS", False))

    def test_connections_are_kept_and_sessions_resumed(self):
        context = self.simulator.context
        connection = http.client.HTTPSConnection("localhost", self.simulator.port(), context=context, timeout=PATIENCE_SECONDS)
        for nth in (1, 2):
            connection.putrequest("POST", "/?" + signature.canonical_query(START.items()), True, True)
            for name, value in self.client.headers("StartVerification", START).items():
                connection.putheader(name, value)
            connection.endheaders()
            self.assertEqual(connection.getresponse().read()[:1], b"{")
            request = self.simulator.log("request")[-1]
            self.assertEqual((request["nth"], request["reused"]), (nth, nth > 1))
        session = connection.sock.session
        connection.close()
        sock = socket.create_connection(("127.0.0.1", self.simulator.port()))
        resumed = context.wrap_socket(sock, server_hostname="localhost", session=session)
        self.assertEqual(self.client.exchange(self.client.wire("StartVerification", START), resumed)[0], 200)
        self.assertTrue(self.simulator.log("tls")[-1]["resumed"])

    def test_many_clients_at_once_are_served(self):
        with ThreadPoolExecutor(64) as pool:
            to = START | {"To": "6280000000003"}
            replies = list(pool.map(lambda _: self.client.call("StartVerification", to)[1]["Code"], range(200)))
        self.assertEqual(replies, ["OK"] * 200)
        self.assertEqual(sum(line["to"] == to["To"] for line in self.simulator.log("sent")), 200)


class Refusals(Live):
    arguments = ("--security-token", "tok/en+1==")

    def setUp(self):
        self.client = Client(self.simulator, token="tok/en+1==")

    def assert_refused(self, code, status=400, client=None, action="StartVerification", path="/", method="POST",
                       remove=(), body=b"", change=None, **more):
        client = client or self.client
        headers = client.headers(action, START, body=body, **more)
        headers = {name: value for name, value in headers.items() if name not in remove} | (change or {})
        got, answer = client.call(action, START, headers=headers, path=path, method=method, body=body)
        self.assertEqual((answer["Code"], got), (code, status))
        self.assertEqual(answer.keys(), {"RequestId", "HostId", "Code", "Message", "Recommend"})
        self.assertNotIn("testsecret", answer["Message"])
        self.assertEqual(self.simulator.log("request")[-1]["error"], code)
        self.assertEqual(self.simulator.log("sent"), [])

    def test_headers_that_are_missing(self):
        for name in ("x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256",
                     "Authorization"):
            with self.subTest(name):
                self.assert_refused("MissingParameter", remove=[name])

    def test_keys_and_tokens(self):
        token = "InvalidSecurityToken.MismatchWithAccessKey"
        self.assert_refused("InvalidAccessKeyId.NotFound", 404, Client(self.simulator, "nobody"))
        self.assert_refused("SignatureDoesNotMatch", client=Client(self.simulator, secret="other", token="tok/en+1=="))
        self.assert_refused(token, client=Client(self.simulator))
        self.assert_refused(token, client=Client(self.simulator, token="other"))

    def test_signatures(self):
        self.assert_refused("IncompleteSignature", change={"Authorization": "ACS3-HMAC-SHA256 Credential=testid"})
        self.assert_refused("IncompleteSignature", change={"x-acs-unsigned": "1"})
        self.assert_refused("IncompleteSignature", change={"content-type": "text/plain"})
        self.assert_refused("SignatureDoesNotMatch", change={"x-acs-content-sha256": "0" * 64})
        self.assert_refused("SignatureDoesNotMatch", change={"x-acs-signature-nonce": "é"})

    def test_dates(self):
        self.assert_refused("InvalidTimeStamp.Format", x_acs_date="yesterday")
        self.assert_refused("InvalidTimeStamp.Expired", x_acs_date=utc_now(-1000))
        self.assert_refused("InvalidTimeStamp.Expired", x_acs_date=utc_now(1000))

    def test_nonces(self):
        self.assertEqual(self.client.call("SearchVerification", {}, headers=None)[0], 200)
        headers = self.client.headers("SearchVerification", {})
        self.assertEqual(self.client.call("SearchVerification", {}, headers=headers)[0], 200)
        self.assertEqual(self.client.call("SearchVerification", {}, headers=headers)[1]["Code"], "SignatureNonceUsed")

    def test_shapes(self):
        self.assert_refused("InvalidApi.NotFound", 404, action="StopVerification")
        self.assert_refused("InvalidApi.NotFound", 404, version="2014-05-26")
        self.assert_refused("InvalidParameter.ContentType", content_type="application/x-www-form-urlencoded")
        self.assert_refused("InvalidParameter.Body", body=b"{}")
        self.assert_refused("SignatureDoesNotMatch", path="/other")
        self.assert_refused("SignatureDoesNotMatch", method="GET")


class OfficialClients(Live):
    def test_chunked_bodies_and_unsorted_raw_queries_are_accepted(self):
        params = {"To": "6280000000004", "ServiceSid": "a*b (c)", "Channel": "SMS"}
        query = urllib.parse.urlencode(params, safe="*()", quote_via=urllib.parse.quote)
        headers = self.client.headers("StartVerification", params)
        lines = [f"POST /?{query} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        data = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", "0", "", ""]).encode()
        self.assertEqual(self.client.exchange(data)[0], 200)
        self.assertEqual(self.simulator.log("sent")[-1]["service_sid"], "a*b (c)")


class ScenarioSmoke(Live):
    def test_no_scenario_brings_the_simulator_down(self):
        """Bodies depend on the operation; the rest of the scenarios do not, or belong to one of them."""
        cases = [(entry.action or "StartVerification", name) for name, entry in scenarios.ALL.items()]
        cases += [(action, name) for name in scenarios.body.TABLE
                  for action in ("CheckVerification", "SearchVerification")]
        with ThreadPoolExecutor(32) as pool:
            for _ in pool.map(self.play, cases):
                pass
        self.wait_until(lambda: not self.unseen())
        self.assertEqual(self.unseen(), set())
        self.assertEqual(self.call("StartVerification", START)["Code"], "OK")

    def unseen(self):
        return set(scenarios.ALL) - {line["scenario"] for line in self.simulator.log("request")}

    def play(self, case):
        action, name = case
        params = START | {"ServiceSid": ":".join(["sim", name, *ARGUMENTS.get(name, [])]),
                          "VerificationId": "a/b+c", "Code": "123456"}
        deadline = time.monotonic() + SCENARIO_SECONDS
        received = 0
        with self.simulator.connect() as sock, contextlib.suppress(OSError):
            headers = self.client.headers(action, params) | {"Connection": "close"}
            sock.sendall(self.client.wire(action, params, headers))
            while received < ENOUGH_BYTES and (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                data = sock.recv(65536)
                if not data:
                    break
                received += len(data)

    def test_a_misspelt_scenario_is_refused(self):
        for sid, code in [("sim:clsoe", "UnknownScenario"), ("sim:slow", "BadScenario"), ("sim:slow:x", "BadScenario"),
                          ("sim:stall-at:elsewhere", "BadScenario"), ("sim:http2:data", "BadScenario")]:
            body = self.call("StartVerification", START | {"ServiceSid": sid}, status=400)
            self.assertEqual(body["Code"], f"Simulator.{code}")

    def test_a_scenario_may_be_for_one_operation_or_the_first_calls(self):
        only = {"ServiceSid": "sim-search:code:Throttling:400", "To": START["To"], "Channel": "SMS"}
        self.assertEqual(self.call("StartVerification", only)["Code"], "OK")
        self.call("SearchVerification", only, status=400)
        sent = self.call("StartVerification", only)["Model"]
        self.call("SearchVerification", {"VerificationId": sent["verificationId"]}, status=400)
        twice = START | {"ServiceSid": "sim:first:2:throttled:7"}
        codes = [self.client.call("StartVerification", twice)[1]["Code"] for _ in range(3)]
        self.assertEqual(codes, ["Throttling.User", "Throttling.User", "OK"])

    def test_a_held_request_is_answered_once_its_name_is_released(self):
        held = START | {"ServiceSid": "sim:held:first", "To": "6280000000003"}
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.call, "StartVerification", held)
            self.wait_until(lambda: any(line["to"] == held["To"] for line in self.simulator.log("sent")))
            self.simulator.release("another")
            self.call("StartVerification", START)
            self.assertFalse(answer.done())
            self.simulator.release("first")
            self.assertEqual(answer.result(PATIENCE_SECONDS)["Code"], "OK")
        self.assertEqual(self.call("StartVerification", held)["Code"], "OK")

    def test_a_skewed_clock_is_told_by_the_date_header(self):
        params = START | {"ServiceSid": "sim:skew:3600"}
        _, headers, body = self.client.exchange(self.client.wire("StartVerification", params))
        self.assertEqual(json.loads(body)["Code"], "InvalidTimeStamp.Expired")
        self.assertNotEqual(headers["Date"][17:19], time.strftime("%H", time.gmtime()))
        signed = self.client.headers("StartVerification", params, x_acs_date=utc_now(3600))
        self.assertEqual(self.call("StartVerification", params, headers=signed)["Code"], "OK")

    def test_the_message_of_an_ambiguous_scenario_is_logged_as_sent(self):
        for name in ("close", "reset", "hang", "code-sent"):
            sent = len(self.simulator.log("sent"))
            self.play(("StartVerification", name))
            self.wait_until(lambda: len(self.simulator.log("sent")) > sent)
            self.assertRegex(self.simulator.log("sent")[-1]["service_sid"], f"^sim:{name}")
        sent = len(self.simulator.log("sent"))
        for name in ("code", "throttled", "successfalse", "html"):
            self.play(("StartVerification", name))
        self.assertEqual(len(self.simulator.log("sent")), sent)


class Documentation(unittest.TestCase):
    def test_the_readme_lists_every_scenario_as_its_docstring_tells_it(self):
        text = README.read_text()
        for entry in scenarios.ALL.values():
            self.assertIn(f"| `{entry.syntax}` | {entry.description} |", text)


class FaultPorts(Live):
    def open(self, name, seconds=PATIENCE_SECONDS):
        return socket.create_connection(("127.0.0.1", self.simulator.port(name)), seconds)

    def handshake(self, name):
        return self.simulator.connect(name, PATIENCE_SECONDS)

    def test_connecting(self):
        with self.assertRaises(TimeoutError):
            self.open("connect_stall", 0.3)
        with self.assertRaises(ConnectionRefusedError):
            self.open("refused")
        with self.open("accept_close") as sock:
            self.assertEqual(sock.recv(1), b"")
        with self.assertRaises(ConnectionResetError), self.open("accept_reset") as sock:
            time.sleep(0.05)
            sock.recv(1)

    def test_handshakes_that_stall_or_break(self):
        for name in ("tls_stall", "tls_half", "tls_drip"):
            with self.subTest(name), self.assertRaises(TimeoutError):
                self.simulator.connect(name, 0.2)
        reasons = {"tls_garbage": "WRONG_VERSION|NOT_TLS|WRONG_SSL", "tls_alert": "HANDSHAKE_FAILURE",
                   "tls_oversize": "TOO_LONG|LENGTH|RECORD_LAYER", "tls_cut": "EOF"}
        for name, reason in reasons.items():
            with self.subTest(name), self.assertRaisesRegex(ssl.SSLError, reason):
                self.handshake(name)
        with self.assertRaises(ConnectionResetError):
            self.handshake("tls_reset")

    def test_certificates_that_are_wrong(self):
        reasons = {"tls_expired": "expired", "tls_notyet": "not yet valid", "tls_selfsigned": "self-signed",
                   "tls_wronghost": "Hostname mismatch"}
        for name, reason in reasons.items():
            with self.subTest(name), self.assertRaisesRegex(ssl.SSLCertVerificationError, reason):
                self.handshake(name)

    def test_old_protocols_only(self):
        with self.assertRaises(ssl.SSLError):
            self.handshake("tls_old")

    def test_a_mute_server_is_left_by_the_client(self):
        with self.handshake("tls_mute") as sock:
            sock.settimeout(0.2)
            sock.sendall(b"POST / HTTP/1.1\r\n\r\n")
            with self.assertRaises(TimeoutError):
                sock.recv(1)

    def test_a_full_server_takes_no_whole_request(self):
        with self.handshake("tls_full") as sock:
            sock.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                sock.sendall(bytes(1 << 24))

    def test_a_request_that_is_not_read_is_reset(self):
        """Some versions of Python's TLS tell a reset as an end of the stream; the log knows better."""
        with self.handshake("tls_unread") as sock:
            self.assert_unread(sock, 0)
        with self.simulator.connect() as sock:
            sock.sendall(self.client.wire("StartVerification", START | {"ServiceSid": "sim:unread-after"}))
            self.assertIn(b'"OK"', sock.recv(65536))
            self.assert_unread(sock, 1)

    def assert_unread(self, sock, requests_before):
        sock.sendall(self.client.wire("StartVerification", START))
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(sock.recv(1), b"")
        last = self.simulator.log("accept")[-1]["connection"]
        lines = [line for line in self.simulator.log() if line["connection"] == last]
        self.assertEqual(lines[-1]["how"], "reset")
        self.assertEqual(sum(line["event"] == "request" for line in lines), requests_before)

    def test_without_a_ticket_no_session_is_resumed(self):
        for port, resumable in (("main", True), ("tls_noticket", False)):
            with self.simulator.connect(port) as sock:
                sock.sendall(self.client.wire("StartVerification", START))
                sock.recv(65536)
                self.assertEqual(sock.session.has_ticket, resumable)

    def test_http_2_is_what_tls_h2_prefers(self):
        for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
            context = ssl.create_default_context(cafile=self.simulator.ready["ca_file"])
            if offered:
                context.set_alpn_protocols(offered)
            sock = self.open("tls_h2")
            with context.wrap_socket(sock, server_hostname="localhost") as tls:
                self.assertEqual(tls.selected_alpn_protocol(), chosen)

    def test_plain_http_is_the_same_service(self):
        status, _, body = self.client.exchange(self.client.wire("StartVerification", START), self.open("http"))
        self.assertEqual((status, json.loads(body)["Code"]), (200, "OK"))

    def connect_by_proxy(self, name):
        sock = self.open(name)
        sock.sendall(f"CONNECT localhost:{self.simulator.port()} HTTP/1.1\r\n\r\n".encode())
        return sock

    def test_proxies(self):
        sock = self.connect_by_proxy("proxy")
        self.assertIn(b" 200 ", sock.recv(4096))
        tls = self.simulator.context.wrap_socket(sock, server_hostname="localhost")
        self.assertEqual(self.client.exchange(self.client.wire("StartVerification", START), tls)[0], 200)
        with self.connect_by_proxy("proxy_refuse") as sock:
            self.assertIn(b" 407 ", sock.recv(4096))
        with self.connect_by_proxy("proxy_hang") as sock, self.assertRaises(TimeoutError):
            sock.settimeout(0.3)
            sock.recv(1)
        self.assertEqual([line["status"] for line in self.simulator.log("proxied")], [200, 407])


class TemporaryCredentials(Live):
    def use(self, issued):
        """What the service says to a Start that is signed with these."""
        client = Client(self.simulator, issued["AccessKeyId"], issued["AccessKeySecret"], issued["SecurityToken"])
        return client.call("StartVerification", START)[1]["Code"]

    def fetch(self, method, path, headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.simulator.port("http"), timeout=5)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()

    def test_instance_metadata(self):
        roles = "/latest/meta-data/ram/security-credentials/"
        self.assertEqual(self.fetch("GET", roles)[0], 403)
        _, token = self.fetch("PUT", "/latest/api/token", {"X-aliyun-ecs-metadata-token-ttl-seconds": "21600"})
        headers = {"X-aliyun-ecs-metadata-token": token}
        _, role = self.fetch("GET", roles, headers)
        issued = json.loads(self.fetch("GET", roles + role, headers)[1])
        self.assertEqual((issued["Code"], self.use(issued)), ("Success", "OK"))
        self.assertEqual(self.fetch("GET", roles + "missing", headers)[0], 404)
        expired = json.loads(self.fetch("GET", roles + "role-0s", headers)[1])
        self.assertEqual(self.use(expired), "InvalidSecurityToken.Expired")

    def test_credentials_uri(self):
        self.assertEqual(self.use(json.loads(self.fetch("GET", "/credentials")[1])), "OK")

    def test_assume_role(self):
        params = {"RoleArn": "acs:ram::1:role/sender", "RoleSessionName": "pnvs"}
        headers = self.client.headers("AssumeRole", params, version="2015-04-01")
        answer = self.call("AssumeRole", params, headers=headers)
        self.assertEqual(self.use(answer["Credentials"]), "OK")

    def test_assume_role_with_oidc(self):
        body = {"Action": "AssumeRoleWithOIDC", "Version": "2015-04-01", "RoleArn": "acs:ram::1:role/sender",
                "OIDCProviderArn": "acs:ram::1:oidc-provider/k8s", "OIDCToken": "token", "RoleSessionName": "pnvs"}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        _, text = self.fetch("POST", "/", form, urllib.parse.urlencode(body))
        self.assertEqual(self.use(json.loads(text)["Credentials"]), "OK")
        status, _ = self.fetch("POST", "/", form, urllib.parse.urlencode(body | {"OIDCToken": "bad"}))
        self.assertEqual(status, 400)


if __name__ == "__main__":
    unittest.main()
