"""Certificates of a test's own authority, made by the `openssl` program."""

import os
import subprocess

# How to make a key of each form in which operators have theirs.
KEYS = {
    "PKCS#8, P-256": "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    "PKCS#8, Ed25519": "genpkey -algorithm ED25519",
    "SEC1, P-384, behind its parameters": "ecparam -name secp384r1 -genkey",
    "PKCS#1, RSA": "genrsa -traditional 2048",
}


def openssl(*arguments, **more):
    """What the program prints; an error with what it complains of if it fails."""
    ran = subprocess.run(["openssl", *arguments], capture_output=True, text=True, **more)
    if ran.returncode != 0:
        raise AssertionError(f"openssl {' '.join(arguments)}: {ran.stderr}")
    return ran.stdout


class Pair:
    """A chain of certificates and its key, each in a file."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.key = key

    def flags(self):
        return (f"--tls-cert={self.certificate}", f"--tls-key={self.key}")

    def replace_by(self, other):
        """Puts another pair into the files of this one, each at once, as renewing programs do."""
        for old, new in ((self.certificate, other.certificate), (self.key, other.key)):
            with open(new, "rb") as source, open(old + ".new", "wb") as target:
                target.write(source.read())
            os.replace(old + ".new", old)


class Authority:
    """An authority that nobody knows but by `file`."""

    def __init__(self, folder, name="authority"):
        self.folder = folder
        self.count = 0
        self.file, self.key = self.path(f"{name}.pem"), self.path(f"{name}.key")
        openssl(
            *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(),
            *("-subj", f"/CN={name}", "-keyout", self.key, "-out", self.file),
        )

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, *hosts, key="PKCS#8, P-256"):
        """A certificate for these hosts, the first of which also names its files."""
        self.count += 1
        name = f"{hosts[0].replace('*', 'any')}-{self.count}"
        certificate, key_file = self.path(f"{name}.pem"), self.path(f"{name}.key")
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(openssl(*KEYS[key].split()))
        names = ",".join(("IP:" if host[0].isdigit() else "DNS:") + host for host in hosts)
        with open(self.path(f"{name}.ext"), "w") as file:
            file.write(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
        request = openssl("req", "-new", "-key", key_file, "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-days", "2", "-CA", self.file, "-CAkey", self.key),
            *("-CAcreateserial", "-extfile", self.path(f"{name}.ext"), "-out", certificate),
            input=request,
        )
        # As servers show it: their own, and then who signed it.
        with open(certificate, "a") as chain, open(self.file) as issuer:
            chain.write(issuer.read())
        return Pair(certificate, key_file)
