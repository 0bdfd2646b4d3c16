//! RFC 6455 as a client sees it, one named case for each behaviour, with raw sockets.
//! Not for metrics, limits and deadlines of this server; the other whole-server tests have those.
//!
//! Autobahn's 301 cases stand in `autobahn`. What the RFC asks of a server, sentence by sentence:
//!
//! | section | a server must | shown in |
//! |---|---|---|
//! | 4.2.1 | take a request that follows the grammar, its lines in any order, cut anywhere | `handshake::good_requests`, `a_request_may_be_cut_anywhere` |
//! | 4.2.1 | answer any other with an HTTP error | `handshake::bad_requests`, `a_request_that_has_no_end_is_answered_400` |
//! | 4.2.2 (4), 4.4 | answer another version with 426 and the one it speaks | `handshake::bad_versions` |
//! | 4.2.2 (4) | answer a resource it has not with 404 | `handshake::other_methods_and_paths_have_statuses_of_their_own` |
//! | 4.2.2 (4, 5) | offer no subprotocol or extension that was not asked for | `handshake::upgraded` compares all of the 101; `tests/handshake.rs` selects |
//! | 4.2.2 (5) | derive the accept value from the key | `handshake::good_requests`, four keys |
//! | 5.1 | close on an unmasked frame, and mask none | `beyond::bad_headers`; all replies are compared byte by byte |
//! | 5.2 | fail on reserved bits and opcodes | `autobahn` 3 and 4, `beyond::bad_headers`, `differential` on every two bytes |
//! | 5.2 | have lengths in their shortest form, below 2^63 | `beyond::bad_headers`; `beyond::legal` for its own |
//! | 5.3 | unmask with any key | `beyond::legal`, `differential` |
//! | 5.4 | take fragments, and controls between them | `autobahn` 5, `beyond::legal` |
//! | 5.4 | fail on interleaved messages and continuations of nothing | `autobahn` 5.9 to 5.18, `beyond::bad_headers` |
//! | 5.5 | fail on control frames that are long or fragmented | `autobahn` 2.5, 5.1, 5.2, 7.3.6, `beyond::bad_headers` |
//! | 5.5.1 | answer a close frame with one, and send no data behind its own | `autobahn` 7.1, `beyond::good_closes`, `ends::nothing_follows_the_servers_own_close_frame` |
//! | 5.5.1 | fail on a body of one byte and on a reason that is not UTF-8 | `autobahn` 7.3.2, 7.5.1, `beyond::bad_contents` |
//! | 5.5.2, 5.5.3 | answer a ping with its payload, a pong with nothing, and none after a close | `autobahn` 2, 7.1.3, `beyond::legal` |
//! | 5.6, 8.1 | take text that is UTF-8 as a whole message, and fail on any other | `autobahn` 6, `beyond::bad_contents`, `differential` at each byte |
//! | 6.2 | deliver messages in their order and kind | every case of several messages |
//! | 7.1.1 | close TCP first and cleanly | every case ends with a FIN that comes first; `ends` |
//! | 7.1.7 | process nothing once it has failed the connection | `beyond::behind_a_violation`, `autobahn` 3.2 to 3.4 |
//! | 7.4 | refuse the codes that nobody may send | `autobahn` 7.7, 7.9, 7.13, `differential` on every close code |

//!
//! Of RFC 7692: RSV1 (section 6) and fragments of compressed messages stand in `deflate`.

#[path = "../harness/mod.rs"]
mod harness;

mod autobahn;
mod beyond;
mod case;
mod deflate;
mod differential;
mod ends;
mod handshake;
mod model;
mod streams;
mod wire;
mod world;
