"""Tokens as PyJWT signs them, good and bad, and files with what checks them."""

import base64
import hashlib
import json
import os
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

# One of each: making one of RSA takes a while.
PRIVATE = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
TO_JWK = {"RS256": RSAAlgorithm.to_jwk, "ES256": ECAlgorithm.to_jwk, "EdDSA": OKPAlgorithm.to_jwk}


def claims(**more):
    """Claims that are good for ten minutes."""
    return {"exp": time.time() + 600, **more}


def sign(key, algorithm, kid=None, **more):
    """A token with these claims. `key` is a secret, or a private key."""
    return jwt.encode(claims(**more), key, algorithm, headers={"kid": kid} if kid else None)


def public_pem(algorithm):
    """The public key in the form in which issuers publish it."""
    return PRIVATE[algorithm].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def jwk(algorithm, kid):
    """The public key as it stands in a set."""
    return {**json.loads(TO_JWK[algorithm](PRIVATE[algorithm].public_key())), "kid": kid}


def signed_with_a_public_key(algorithm):
    """HS256 with the text of a public key for its secret. PyJWT itself does not sign such a thing,
    so its parts are put together here."""
    parts = [{"alg": "HS256", "typ": "JWT"}, claims()]
    message = b".".join(base64url(json.dumps(part).encode()) for part in parts)
    signature = HMACAlgorithm(hashlib.sha256).sign(message, public_pem(algorithm))
    return (message + b"." + base64url(signature)).decode()


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def private_file(folder, name, content):
    """The path of a file that nobody else may read."""
    path = os.path.join(folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return path
