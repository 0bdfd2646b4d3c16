//! Rows of origins and tokens.
//! Not for logic: what a row's parts mean stands in `keys`.

use crate::config::keys::{Change, Key, Kind, Section, Spec};

#[rustfmt::skip] // One shape for all rows; rustfmt would fold the short ones.
pub(super) const ROWS: &[Spec] = &[
    Spec {
        key: Key::AllowOrigin, section: Section::Gate,
        name: "allow-origin", kind: Kind::Texts, value: "ORIGIN",
        default: &["same-host"], change: Change::Reload,
        meaning: "Web pages that may connect: https://example.com, https://*.example.com, \
                  same-host, or * for all; repeatable",
        why: "A browser lets any page open a WebSocket anywhere and sends the user's cookies \
              along; pages of the host that is asked are those that belong here. The scheme is \
              not compared, since a proxy may end TLS.",
    },
    Spec {
        key: Key::RequireOrigin, section: Section::Gate,
        name: "require-origin", kind: Kind::Switch, value: "",
        default: &["off"], change: Change::Reload,
        meaning: "Refuse requests that say no Origin",
        why: "Browsers always say one. What is no browser has none to say, and could say any.",
    },
    Spec {
        key: Key::Auth, section: Section::Gate,
        name: "auth", kind: Kind::Text, value: "AUTH",
        default: &["off"], change: Change::Reload,
        meaning: "What clients must show before they are upgraded: off (nothing) or jwt (a token)",
        why: "A token needs someone who signs it, and a key to check it with.",
    },
    Spec {
        key: Key::JwtSecretFile, section: Section::Gate,
        name: "jwt-secret-file", kind: Kind::Text, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A file with the secret that tokens are signed with (HS256, HS384 or HS512)",
        why: "A file, since arguments are shown to other users of the machine; the variable \
              PULSEWHEEL_JWT_SECRET may hold the secret itself instead. At least as many bytes as \
              the hash has: 32, 48 or 64.",
    },
    Spec {
        key: Key::JwtPublicKeyFile, section: Section::Gate,
        name: "jwt-public-key-file", kind: Kind::Text, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A file with the public key, in PEM, of who signs tokens (RS256, ES256 or EdDSA)",
        why: "With a public key this server can check tokens and not make any. The key's type says \
              the algorithm.",
    },
    Spec {
        key: Key::JwtJwksFile, section: Section::Gate,
        name: "jwt-jwks-file", kind: Kind::Text, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A file with a JWK set, of which a token names its key by kid",
        why: "For keys that are rotated: write the new set and send SIGHUP. A set that is broken \
              leaves the old one in use.",
    },
    Spec {
        key: Key::JwtAlgorithm, section: Section::Gate,
        name: "jwt-algorithm", kind: Kind::Text, value: "ALG",
        default: &["auto"], change: Change::Reload,
        meaning: "What tokens must be signed with: HS256, HS384, HS512, RS256, ES256, EdDSA, or \
                  auto for what suits the key",
        why: "HS256 for a secret, the key's own for all others. A token's own word for it is never \
              taken.",
    },
    Spec {
        key: Key::JwtAudience, section: Section::Gate,
        name: "jwt-audience", kind: Kind::Texts, value: "AUD",
        default: &[], change: Change::Reload,
        meaning: "Audiences of which a token must name one in its aud; repeatable",
        why: "Only who issues tokens knows the name of this service. Without one, a token that \
              names an audience is refused: it was made for someone else.",
    },
    Spec {
        key: Key::JwtIssuer, section: Section::Gate,
        name: "jwt-issuer", kind: Kind::Texts, value: "ISS",
        default: &[], change: Change::Reload,
        meaning: "Issuers of which one must stand in a token's iss; repeatable",
        why: "The key says who signed. Name the issuer where one key signs for several.",
    },
    Spec {
        key: Key::JwtLeeway, section: Section::Gate,
        name: "jwt-leeway", kind: Kind::Duration, value: "DURATION",
        default: &["0s"], change: Change::Reload,
        meaning: "How far the clocks of who signs and who checks may differ, at most 10m",
        why: "Clocks that are set agree to less than a token's second; whoever wants leeway should \
              know that expired tokens are then taken.",
    },
    Spec {
        key: Key::TokenFrom, section: Section::Gate,
        name: "token-from", kind: Kind::Texts, value: "PLACE",
        default: &["header", "subprotocol", "query"], change: Change::Reload,
        meaning: "Where a token may stand: header (Authorization: Bearer), subprotocol \
                  (bearer.<token>) or query (?token=); repeatable",
        why: "Programs send the header, which pages can't. Narrow it where addresses are logged on \
              the way.",
    },
    Spec {
        key: Key::RequireClaim, section: Section::Gate,
        name: "require-claim", kind: Kind::Texts, value: "PATH=NAME[=VALUE]",
        default: &[], change: Change::Reload,
        meaning: "A claim that a token must have on a path, such as /admin=role=admin; repeatable",
        why: "Which claims there are is between the application and who signs. A list satisfies it \
              by one of its members, and scope by one of its words.",
    },
];
