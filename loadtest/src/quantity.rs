//! Amounts as people read them: three digits and the unit that suits.
//! Not how they are typed (`units`, `threshold`).

/// What a number counts, which decides its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A time, in microseconds.
    Micros,
    /// A time on the clock of the run, in seconds.
    Seconds,
    /// Memory, in bytes.
    Bytes,
    /// Things.
    Count,
    /// Things a second.
    PerSecond,
    /// A part of a whole, where 1 is all of it.
    Share,
}

/// A unit: how many base units it has, from which amount on it suits, and its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// How many of the quantity's base units make one.
    pub size: f64,
    /// From how many base units on it is used.
    from: f64,
    /// Its name; empty where the number speaks for itself.
    pub name: &'static str,
}

const fn unit(size: f64, from: f64, name: &'static str) -> Unit {
    Unit { size, from, name }
}

const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;
const GIB: f64 = KIB * MIB;

const MICROS: &[Unit] = &[unit(1.0, 0.0, "us"), unit(1e3, 1e3, "ms"), unit(1e6, 1e6, "s")];
// A run's clock stays in seconds as long as they can be read at a glance.
const SECONDS: &[Unit] =
    &[unit(1.0, 0.0, "s"), unit(60.0, 600.0, "min"), unit(3600.0, 14_400.0, "h")];
const BYTES: &[Unit] = &[
    unit(1.0, 0.0, "bytes"),
    unit(KIB, 10.0 * KIB, "KiB"),
    unit(MIB, MIB, "MiB"),
    unit(GIB, GIB, "GiB"),
];
const COUNT: &[Unit] = &[unit(1.0, 0.0, "")];
const PER_SECOND: &[Unit] = &[unit(1.0, 0.0, "/s")];
const SHARE: &[Unit] = &[unit(0.01, 0.0, "%")];

impl Quantity {
    fn units(self) -> &'static [Unit] {
        match self {
            Quantity::Micros => MICROS,
            Quantity::Seconds => SECONDS,
            Quantity::Bytes => BYTES,
            Quantity::Count => COUNT,
            Quantity::PerSecond => PER_SECOND,
            Quantity::Share => SHARE,
        }
    }

    /// The unit in which an amount, or an axis that ends at it, reads best.
    pub fn unit_for(self, amount: f64) -> Unit {
        let units = self.units();
        let suits = |unit: &&Unit| amount.abs() >= unit.from;
        units.iter().rev().find(suits).copied().unwrap_or(units[0])
    }

    /// An amount with three significant digits, such as `1.23 ms` or `50,000`.
    pub fn text(self, amount: f64) -> String {
        self.precise(amount, 3)
    }

    /// An amount with so many significant digits; whole numbers keep all theirs.
    pub fn precise(self, amount: f64, digits: usize) -> String {
        if !amount.is_finite() {
            return "not a number".to_owned();
        }
        let unit = self.unit_for(amount);
        let number = number(amount / unit.size, digits);
        match unit.name {
            "" => number,
            "/s" => format!("{number}/s"),
            name => format!("{number} {name}"),
        }
    }
}

/// A number with so many significant digits, without idle zeros, thousands in groups.
pub fn number(value: f64, digits: usize) -> String {
    let whole_digits = if value.abs() < 1.0 { 0 } else { value.abs().log10().floor() as usize + 1 };
    // Below one, leading zeros are not significant; below a billionth nothing here is.
    let leading = if value == 0.0 || whole_digits > 0 {
        0
    } else {
        (-value.abs().log10()).floor().clamp(0.0, 9.0) as usize
    };
    let decimals =
        if whole_digits > 0 { digits.saturating_sub(whole_digits) } else { digits + leading };
    let text = format!("{value:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (sign, text) = match text.strip_prefix('-') {
        Some("0") => ("", "0"),
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_take_the_unit_that_suits() {
        for (quantity, amount, text) in [
            (Quantity::Micros, 7.42, "7.42 us"),
            (Quantity::Micros, 999.6, "1,000 us"),
            (Quantity::Micros, 12_345.0, "12.3 ms"),
            (Quantity::Micros, 5_000.0, "5 ms"),
            (Quantity::Micros, 1_500_000.0, "1.5 s"),
            (Quantity::Bytes, 192.0, "192 bytes"),
            (Quantity::Bytes, 6_581.0, "6,581 bytes"),
            (Quantity::Bytes, 16.0 * MIB, "16 MiB"),
            (Quantity::Count, 1_234_567.0, "1,234,567"),
            (Quantity::Count, -1_234.0, "-1,234"),
            (Quantity::PerSecond, 120_000.4, "120,000/s"),
            (Quantity::Share, 0.0123, "1.23 %"),
            (Quantity::Share, 0.0, "0 %"),
            (Quantity::Seconds, 90.0, "90 s"),
            (Quantity::Seconds, 900.0, "15 min"),
            (Quantity::Count, f64::NAN, "not a number"),
        ] {
            assert_eq!(quantity.text(amount), text);
        }
    }

    #[test]
    fn more_digits_tell_close_amounts_apart() {
        assert_eq!(Quantity::Micros.precise(5_001.0, 3), "5 ms");
        assert_eq!(Quantity::Micros.precise(5_001.0, 4), "5.001 ms");
        assert_eq!(number(0.00123, 3), "0.00123");
        assert_eq!(number(-0.0, 3), "0");
    }
}
