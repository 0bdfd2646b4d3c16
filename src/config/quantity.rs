//! Durations and sizes as people write them: `25s`, `1m30s`, `256KiB`; parsed and written back.
//! Not for bounds: whether a duration or a size makes sense for its key is `check`'s to say.
//!
//! Parsed by hand and exactly: the usual crates read `2 5s` as 25 seconds and `1M` as a month, go
//! through floating point, or saturate where an operator should be told.

use std::time::Duration;

use super::error::{Refusal, quoted};

/// Milliseconds in each unit of a duration, longest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes in each unit of a size, in lower case: binary units as the IEC names them, decimal units
/// as the SI does.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

/// An exact decimal number, `whole + fraction / scale`.
#[derive(Clone, Copy)]
struct Number {
    whole: u64,
    fraction: u64,
    scale: u64,
}

/// Why a text is no quantity.
#[derive(Clone, Copy)]
enum Unreadable {
    NoNumber,
    NoUnit,
    UnknownUnit,
    UnitsOutOfOrder,
    TooLarge,
    TooFine,
}

impl Number {
    /// This many times `unit`, which must be a whole number below 2^64.
    fn times(self, unit: u64) -> Result<u64, Unreadable> {
        let fraction = u128::from(self.fraction) * u128::from(unit);
        let scale = u128::from(self.scale);
        let whole = u128::from(self.whole) * u128::from(unit);
        if fraction % scale != 0 {
            return Err(Unreadable::TooFine);
        }
        u64::try_from(whole + fraction / scale).map_err(|_| Unreadable::TooLarge)
    }
}

/// Reads one number and the letters behind it; gives what is left after them.
fn number_and_unit(text: &str) -> Result<(Number, &str, &str), Unreadable> {
    /// More than a TiB or a day has use for, and few enough for `scale` to fit.
    const MOST_DECIMALS: usize = 18;
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("0", rest),
    };
    if whole.is_empty() || fraction.is_empty() {
        return Err(Unreadable::NoNumber);
    }
    if fraction.len() > MOST_DECIMALS {
        return Err(Unreadable::TooFine);
    }
    let number = Number {
        whole: whole.parse().map_err(|_| Unreadable::TooLarge)?,
        fraction: fraction.parse().map_err(|_| Unreadable::TooLarge)?,
        scale: 10u64.pow(fraction.len() as u32),
    };
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    Ok((number, unit, rest.trim_start()))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Reads `25s`, `1m30s`, `250ms`, `1.5s` or a bare `0`, in whole milliseconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, Refusal> {
    millis(text.trim()).map(Duration::from_millis).map_err(|why| {
        let why = match why {
            Unreadable::NoNumber => "is not a duration",
            Unreadable::NoUnit => "lacks a unit (ms, s, m, h or d)",
            Unreadable::UnknownUnit => "has an unknown unit (there are ms, s, m, h and d)",
            Unreadable::UnitsOutOfOrder => "has its units out of order",
            Unreadable::TooLarge => "is too long",
            Unreadable::TooFine => "is finer than a millisecond",
        };
        Refusal::new(format!("{} {why}", quoted(text)), "write it like 25s, 1m30s or 250ms")
    })
}

fn millis(text: &str) -> Result<u64, Unreadable> {
    if text == "0" {
        return Ok(0);
    }
    let (mut rest, mut total, mut last_unit) = (text, 0u64, u64::MAX);
    loop {
        let (number, name, after) = number_and_unit(rest)?;
        if name.is_empty() {
            // `5;` has something behind it that is neither unit nor number.
            return Err(if after.is_empty() { Unreadable::NoUnit } else { Unreadable::NoNumber });
        }
        let (_, unit) = TIME_UNITS
            .into_iter()
            .find(|(known, _)| *known == name)
            .ok_or(Unreadable::UnknownUnit)?;
        if unit >= last_unit {
            return Err(Unreadable::UnitsOutOfOrder);
        }
        total = total.checked_add(number.times(unit)?).ok_or(Unreadable::TooLarge)?;
        if after.is_empty() {
            return Ok(total);
        }
        (rest, last_unit) = (after, unit);
    }
}

/// Writes a duration as [`parse_duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_string();
    }
    let exact = u64::try_from(duration.as_millis())
        .ok()
        .filter(|millis| Duration::from_millis(*millis) == duration);
    let Some(mut millis) = exact else {
        // Only a program that fills in a `Config` by itself can get here.
        return format!("{duration:?}");
    };
    let mut shown = String::new();
    for (name, unit) in TIME_UNITS {
        if millis >= unit {
            shown.push_str(&format!("{}{name}", millis / unit));
            millis %= unit;
        }
    }
    shown
}

/// Reads `256KiB`, `1MiB`, `64KB`, `1.5MiB` or a bare number of bytes. Letter case does not matter.
pub(super) fn parse_size(text: &str) -> Result<u64, Refusal> {
    bytes(text.trim()).map_err(|why| {
        let why = match why {
            Unreadable::UnknownUnit => {
                "has an unknown unit (KiB, MiB, GiB, TiB count 1024, KB, MB, GB, TB count 1000)"
            }
            Unreadable::TooLarge => "is too large",
            Unreadable::TooFine => "is no whole number of bytes",
            Unreadable::NoNumber | Unreadable::NoUnit | Unreadable::UnitsOutOfOrder => {
                "is not a size"
            }
        };
        let remedy = "write it like 256KiB, 1MiB, 64KB or 65536 (bytes)";
        Refusal::new(format!("{} {why}", quoted(text)), remedy)
    })
}

fn bytes(text: &str) -> Result<u64, Unreadable> {
    let (number, name, rest) = number_and_unit(text)?;
    if !rest.is_empty() {
        return Err(Unreadable::NoNumber);
    }
    let name = name.to_ascii_lowercase();
    let (_, unit) =
        SIZE_UNITS.into_iter().find(|(known, _)| *known == name).ok_or(Unreadable::UnknownUnit)?;
    number.times(unit)
}

/// Writes a size as [`parse_size`] reads it: in the largest binary unit that divides it.
pub(super) fn show_size(bytes: u64) -> String {
    for (name, unit) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
    {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}
