"""A certificate authority of one's own, and server certificates both right and wrong.

`openssl ca` is used rather than `openssl x509`, because of all versions in use it alone can date a certificate at will.
All server certificates share one key: making keys is what takes time.
"""

import ssl
import subprocess
import warnings
from pathlib import Path

CONFIGURATION = """
[req]
distinguished_name = subject
prompt = no
[subject]
CN = pnvs simulator authority
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = simulator
[simulator]
database = {folder}/index.txt
new_certs_dir = {folder}
certificate = {authority}
private_key = {folder}/authority.key
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[loopback]
subjectAltName = DNS:localhost, DNS:*.names.test, IP:127.0.0.1, IP:::1
extendedKeyUsage = serverAuth
[elsewhere]
subjectAltName = DNS:elsewhere.example
extendedKeyUsage = serverAuth
"""

# name -> (section of the configuration, first day, last day)
ISSUED = {
    "server": ("loopback", "20200101000000Z", "20491231000000Z"),
    "expired": ("loopback", "20200101000000Z", "20210101000000Z"),
    "notyet": ("loopback", "20480101000000Z", "20491231000000Z"),
    "wronghost": ("elsewhere", "20200101000000Z", "20491231000000Z"),
}


class Certificates:
    """Makes everything anew in `directory`: ca.pem for clients, the rest in its folder tls/."""

    def __init__(self, directory):
        self._folder = Path(directory, "tls").absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.authority = Path(directory, "ca.pem").absolute()
        self._configuration = self._folder / "openssl.cnf"
        self._configuration.write_text(CONFIGURATION.format(folder=self._folder, authority=self.authority))
        (self._folder / "index.txt").write_text("")
        self._make_authority()
        self._make_server_certificates()

    def context(self, name, old=False, protocols=("http/1.1",), tickets=2):
        """A server's TLS context, with the protocols it prefers and the number of tickets that it gives for resuming a
        session; `old` speaks nothing newer than TLS 1.1.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / f"{name}.pem", self._folder / "server.key")
        context.set_alpn_protocols(list(protocols))
        context.num_tickets = tickets
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if old:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def _make_authority(self):
        self._make_key("authority")
        self._self_sign("authority", self.authority, "authority", "/CN=pnvs simulator authority")

    def _make_server_certificates(self):
        self._make_key("server")
        self._openssl("req", "-new", "-key", self._folder / "server.key", "-subj", "/CN=localhost",
                      "-out", self._folder / "server.csr")
        for name, (section, first_day, last_day) in ISSUED.items():
            self._openssl("ca", "-batch", "-notext", "-in", self._folder / "server.csr", "-extensions", section,
                          "-startdate", first_day, "-enddate", last_day, "-out", self._folder / f"{name}.pem")
        self._self_sign("server", self._folder / "selfsigned.pem", "loopback", "/CN=localhost")

    def _make_key(self, name):
        path = self._folder / f"{name}.key"
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)

    def _self_sign(self, key, path, section, subject):
        self._openssl("req", "-x509", "-key", self._folder / f"{key}.key", "-extensions", section, "-subj", subject,
                      "-days", "3650", "-out", path)

    def _openssl(self, command, *arguments):
        configuration = ["-config", self._configuration] if command in ("req", "ca") else []
        run = subprocess.run(["openssl", command, *configuration, *arguments], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if run.returncode != 0:
            raise SystemExit(f"simulator: openssl {command} failed:\n{run.stderr}")
