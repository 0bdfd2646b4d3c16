//! From when and until when a certificate is valid (RFC 5280 section 4.1.2.5).
//! Not for judging certificates: clients do that. This tells their owner before the clients do.

use std::fmt;

/// The first and the last second in which clients take a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first one.
    pub not_before: Moment,
    /// The last one.
    pub not_after: Moment,
}

/// A second of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

/// Tags of DER (ITU-T X.690) that stand on the way to the dates.
mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    /// `[0] EXPLICIT`: the version.
    pub const VERSION: u8 = 0xa0;
}

impl Validity {
    /// Reads the dates of a certificate in DER; `None` if that is not what it is.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(certificate, tag::SEQUENCE)?;
        let (mut rest, _) = expect(certificate, tag::SEQUENCE)?;
        if let Some((tag::VERSION, _, after)) = element(rest) {
            rest = after;
        }
        // Serial number, signature algorithm, issuer.
        for tag in [tag::INTEGER, tag::SEQUENCE, tag::SEQUENCE] {
            (_, rest) = expect(rest, tag)?;
        }
        let (dates, _) = expect(rest, tag::SEQUENCE)?;
        let (not_before, rest) = moment(dates)?;
        let (not_after, _) = moment(rest)?;
        Some(Validity { not_before, not_after })
    }
}

impl Moment {
    /// Seconds since 1970 began, below zero before; leap seconds are not counted.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "a year has four digits at most, so nothing comes near the ends of 64 bits"
    )]
    pub fn unix_seconds(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        // A year that begins with March has its leap day at its end, where it moves no month.
        let year = i64::from(self.year) - i64::from(month <= 2);
        let month_from_march = (month + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        // From the first of March of the year 0 to 1970.
        let days = year * 365 + leap_days + day_of_year - 719_468;
        let (hour, minute) = (i64::from(self.hour), i64::from(self.minute));
        ((days * 24 + hour) * 60 + minute) * 60 + i64::from(self.second)
    }

    /// Reads `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, the only forms that certificates may have.
    fn parse(tag: u8, text: &[u8]) -> Option<Self> {
        let digits = text.strip_suffix(b"Z")?;
        let (year, rest) = match tag {
            tag::UTC_TIME => {
                let (year, rest) = two_digits(digits)?;
                // RFC 5280: from 1950 on.
                let century: u16 = if year >= 50 { 1900 } else { 2000 };
                (century.checked_add(u16::from(year))?, rest)
            }
            tag::GENERALIZED_TIME => {
                let (century, rest) = two_digits(digits)?;
                let (year, rest) = two_digits(rest)?;
                (u16::from(century).checked_mul(100)?.checked_add(u16::from(year))?, rest)
            }
            _ => return None,
        };
        let (month, rest) = two_digits(rest)?;
        let (day, rest) = two_digits(rest)?;
        let (hour, rest) = two_digits(rest)?;
        let (minute, rest) = two_digits(rest)?;
        let (second, rest) = two_digits(rest)?;
        let is_a_date = (1..=12).contains(&month) && (1..=31).contains(&day);
        let is_a_time = hour < 24 && minute < 60 && second < 60;
        let is_all = rest.is_empty() && is_a_date && is_a_time;
        is_all.then_some(Moment { year, month, day, hour, minute, second })
    }
}

/// As log lines have it: `2027-01-31 23:59:59 UTC`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

fn moment(der: &[u8]) -> Option<(Moment, &[u8])> {
    let (tag, text, rest) = element(der)?;
    Some((Moment::parse(tag, text)?, rest))
}

fn two_digits(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<2>()?;
    let [tens, ones] = digits.map(|digit| char::from(digit).to_digit(10));
    let number = tens?.checked_mul(10)?.checked_add(ones?)?;
    Some((u8::try_from(number).ok()?, rest))
}

fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// The tag and the content of the first element, and what follows it. All tags on the way to the
/// dates have one byte.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            // The low bits say how many bytes hold the length; four are more than any file has.
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            let length = bytes.iter().fold(0u32, |length, byte| length << 8 | u32::from(*byte));
            (usize::try_from(length).ok()?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utc(text: &str) -> Option<Moment> {
        Moment::parse(tag::UTC_TIME, text.as_bytes())
    }

    fn generalized(text: &str) -> Option<Moment> {
        Moment::parse(tag::GENERALIZED_TIME, text.as_bytes())
    }

    #[test]
    fn seconds_are_those_of_the_calendar() {
        // From date(1): date -u -d '...' +%s
        for (text, seconds) in [
            ("19700101000000Z", 0),
            ("19691231235959Z", -1),
            ("20000229120000Z", 951_825_600),
            ("20000301000000Z", 951_868_800),
            ("20261128034128Z", 1_795_837_288),
            ("21000228235959Z", 4_107_542_399),
            ("21000301000000Z", 4_107_542_400),
            ("99991231235959Z", 253_402_300_799),
            ("00000301000000Z", -719_468 * 86_400),
        ] {
            assert_eq!(generalized(text).map(Moment::unix_seconds), Some(seconds), "{text}");
        }
    }

    #[test]
    fn two_digits_of_a_year_mean_1950_to_2049() {
        let year = |text| utc(text).map(|moment| moment.year);
        assert_eq!(year("490101000000Z"), Some(2049));
        assert_eq!(year("500101000000Z"), Some(1950));
        let shown = utc("270131235959Z").map(|moment| moment.to_string());
        assert_eq!(shown.as_deref(), Some("2027-01-31 23:59:59 UTC"));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "Z", "2701312359Z", "270131235959", "271301000000Z", "270100000000Z"] {
            assert_eq!(utc(text), None, "{text}");
        }
        for text in ["270131240000Z", "270131236000Z", "270131235960Z", "27013123595aZ"] {
            assert_eq!(utc(text), None, "{text}");
        }
        assert_eq!(utc("20270131235959Z"), None, "a year of four digits has another tag");
        assert_eq!(generalized("20270131235959.5Z"), None);
        assert_eq!(Moment::parse(tag::INTEGER, b"270131235959Z"), None);
    }

    #[test]
    fn a_certificate_cut_anywhere_has_no_dates_or_its_own() {
        let params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let der = certificate.der();
        let whole = Validity::of(der).expect("it has dates");
        assert_eq!(whole.not_before.to_string(), "1975-01-01 00:00:00 UTC");
        assert_eq!(whole.not_after.to_string(), "4096-01-01 00:00:00 UTC");
        for cut in 0..der.len() {
            assert_eq!(Validity::of(&der[..cut]), None, "the outermost length is wrong");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(validity) = Validity::of(&bytes) {
                prop_assert!(validity.not_after.unix_seconds() > i64::MIN);
            }
        }
    }
}
