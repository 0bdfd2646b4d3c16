//! Durations and sizes as people write them.
//! Not the flags that take them; those are in `args`.

use std::time::Duration;

/// Reads `10s`, `1m30s`, `250ms` or a bare `0`.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= Duration::from_secs(30 * 24 * 3600) => Ok(duration),
        Ok(_) => Err("longer than 30 days".to_owned()),
        Err(error) => Err(format!("{error} (write it like 10s, 1m30s or 250ms)")),
    }
}

/// The largest size that any flag takes, in bytes.
pub const MOST_BYTES: usize = 256 << 20;

/// Reads `20`, `16KiB`, `1MiB` or `64KB`, in bytes; at most 256 MiB.
pub fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is no size (write it like 20, 16KiB or 1MiB)");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| wrong())?;
    let unit = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "KB" => 1_000,
        "MB" => 1_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|bytes| *bytes <= MOST_BYTES).ok_or("beyond 256MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_usual_units() {
        assert_eq!(size("20"), Ok(20));
        assert_eq!(size("16KiB"), Ok(16_384));
        assert_eq!(size("1MiB"), Ok(1_048_576));
        assert_eq!(size("64KB"), Ok(64_000));
        for wrong in ["", "KiB", "-1", "1.5KiB", "1TiB", "99999999999999999999", "512MiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_take_the_usual_units() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "10", "s", "-1s", "31d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
