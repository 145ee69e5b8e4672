"""The simulator accepts the requests of Alibaba's client and ours, by the same code, and reads what was meant."""

from cases import AWKWARD, NUMBER, epoch
from client import SimulatorProcess
from peers import Key

SERVICE_SID = "FA/01" + "".join(AWKWARD.values())
WRONG_CODE = " *~+/%&=?#\u00e9\U0001f600"
PERMANENT = Key("testid", "testsecret")
TEMPORARY = Key("STS.testid", "test+secret/==", "tok/en+1== ~*%&")


class Caller:
    """One client's calls of one simulator, each checked against what the simulator wrote down."""

    def __init__(self, report, simulator, key, name, peer):
        self._report, self._simulator, self._peer = report, simulator, peer
        self.key, self._name = key, f"{name}, {'temporary' if key.security_token else 'permanent'} key"

    def ok(self, holds, sentence, *details):
        self._report.ok(holds, f"{self._name}: {sentence}", *details)

    def call(self, sentence, action, **params):
        """The Model of the answer."""
        status, body = self._peer.call(self._simulator, self.key, action, params)
        seen = self.last_request()
        accepted = (status, body.get("Code"), seen["signature_ok"], seen["error"]) == (200, "OK", True, None)
        self.ok(accepted and seen["action"] == action and seen["params"] == params, f"{action} {sentence}",
                f"answer: {status} {body}", f"logged: {seen}", f"  sent: {params}")
        return body.get("Model") or {}

    def refused(self, sentence, key, code):
        status, body = self._peer.call(self._simulator, key, "SearchVerification", {"To": NUMBER})
        self.ok(status >= 400 and body.get("Code") == code, f"{sentence} is refused, {code}",
                f"answer: {status} {body}")

    def last_request(self):
        return self._simulator.log("request")[-1]


def run(report, folder, alibaba, core):
    for key in (PERMANENT, TEMPORARY):
        token = ("--security-token", key.security_token) if key.security_token else ()
        simulator = SimulatorProcess(str(folder / key.access_key_id), "--access-key-id", key.access_key_id,
                                     "--access-key-secret", key.access_key_secret, *token)
        try:
            for name, peer in (("Alibaba's client", alibaba), ("src/core", core)):
                converse(Caller(report, simulator, key, name, peer))
            if not key.security_token:
                same_signature_on_the_wire(report, simulator, alibaba, core)
        finally:
            errors, code = simulator.close()
        report.ok((errors, code) == ("", 0), "the simulator ended well", errors)


def converse(caller):
    """The whole life of a verification, every parameter used and as awkward as the service lets it be."""
    sent = caller.call("with an awkward ServiceSid is accepted", "StartVerification",
                       Channel="WHATSAPP", ServiceSid=SERVICE_SID, To=NUMBER)
    verification = {"VerificationId": sent.get("verificationId", "")}
    caller.ok({"/", "+"} <= set(verification["VerificationId"]), "its VerificationId holds a slash and a plus")
    checked = caller.call("with an awkward Code is accepted", "CheckVerification", Code=WRONG_CODE, **verification)
    caller.ok(checked.get("status") == "pending", "and that code is wrong")
    checked = caller.call("with every parameter is accepted", "CheckVerification",
                          Code=sent.get("verifyCode", ""), ServiceSid=SERVICE_SID, To=NUMBER, **verification)
    caller.ok(checked.get("status") == "approved", "and the right code is approved")
    found = caller.call("with every parameter is accepted", "SearchVerification",
                        Code=sent.get("verifyCode", ""), ServiceSid=SERVICE_SID, To=NUMBER,
                        SendDate="0", PageSize="10", CurrentPage="1", **verification)
    caller.ok([record["serviceSid"] for record in found.get("records", [])] == [SERVICE_SID],
              "and finds that one message")
    caller.call("with empty values is accepted", "SearchVerification",
                Code="", ServiceSid="", To="", VerificationId="")
    caller.call("without parameters is accepted", "SearchVerification")
    caller.refused("a wrong secret", caller.key._replace(access_key_secret="wrong"), "SignatureDoesNotMatch")
    caller.refused("an unknown key", caller.key._replace(access_key_id="nobody"), "InvalidAccessKeyId.NotFound")


def same_signature_on_the_wire(report, simulator, alibaba, core):
    """What the client really sent, signed again by us with its date and its nonce.

    Its default credentials add x-acs-credentials-provider, which is signed too; here they come without.
    """
    params = {"ServiceSid": SERVICE_SID, "To": NUMBER, "Code": WRONG_CODE}
    alibaba.call(simulator, PERMANENT, "SearchVerification", params, name_provider=False)
    headers = simulator.log("request")[-1]["headers"]
    ours = core.sign({
        **PERMANENT._asdict(), "method": "POST", "query": params, "host": headers["host"],
        "action": headers["x-acs-action"], "version": headers["x-acs-version"],
        "nonce": headers["x-acs-signature-nonce"], "epoch": epoch(headers["x-acs-date"]),
    })
    report.equal(ours["authorization"], headers["authorization"], "src/core signs alike what the client really sent")
