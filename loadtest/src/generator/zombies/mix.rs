//! How many zombies of each kind: shares as typed, and the line in which they are begun.
//! Not the kinds themselves; those are in `kind`.

use super::kind::Kind;

/// The shares of the kinds; at least one is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    shares: [u32; Kind::ALL.len()],
}

/// All kinds equally.
impl Default for Mix {
    fn default() -> Mix {
        Mix { shares: [1; Kind::ALL.len()] }
    }
}

impl Mix {
    /// Reads shares such as `no-pong=2,vanish=1`; kinds that are not named have none, and a name
    /// alone has a share of 1.
    pub fn parse(text: &str) -> Result<Mix, String> {
        let mut mix = Mix { shares: [0; Kind::ALL.len()] };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let kind = Kind::named(name.trim())
                .ok_or_else(|| format!("`{}` is no kind; {}", name.trim(), kinds()))?;
            let share: u32 = share.trim().parse().map_err(|_| {
                format!("`{}` is no share: write whole numbers, as in no-pong=2,vanish=1", share)
            })?;
            if mix.shares[kind as usize] != 0 {
                return Err(format!("`{kind}` is given twice"));
            }
            mix.shares[kind as usize] = share;
        }
        match mix.total() {
            0 => Err(format!("no kind has a share; {}", kinds())),
            _ => Ok(mix),
        }
    }

    fn total(&self) -> u64 {
        self.shares.iter().map(|share| u64::from(*share)).sum()
    }

    /// How many of `count` zombies are of each kind: by share, what is left over going to those
    /// that rounding took most from.
    pub fn quotas(&self, count: usize) -> [usize; Kind::ALL.len()] {
        let total = u128::from(self.total());
        let exact = self.shares.map(|share| u128::from(share) * count as u128);
        let mut quotas = exact.map(|exact| (exact / total) as usize);
        let mut by_remainder: Vec<usize> = (0..quotas.len()).collect();
        by_remainder.sort_by_key(|kind| std::cmp::Reverse(exact[*kind] % total));
        let left = count - quotas.iter().sum::<usize>();
        for kind in by_remainder.into_iter().take(left) {
            quotas[kind] += 1;
        }
        quotas
    }

    /// The zombies one after another, each kind spread evenly over the line; without those that
    /// reset, which have a scene of their own.
    pub fn line(&self, count: usize) -> Vec<Kind> {
        let mut quotas = self.quotas(count);
        quotas[Kind::Reset as usize] = 0;
        let mut line = Vec::new();
        for kind in Kind::ALL {
            let quota = quotas[kind as usize];
            let place = |nth: usize| (2 * nth + 1) as f64 / (2 * quota) as f64;
            line.extend((0..quota).map(|nth| (place(nth), kind)));
        }
        line.sort_by(|one, other| one.partial_cmp(other).expect("places are finite"));
        line.into_iter().map(|(_, kind)| kind).collect()
    }
}

fn kinds() -> String {
    format!("the kinds are {}", Kind::ALL.map(Kind::name).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_kept() {
        let mix = Mix::parse("no-pong=2, vanish").expect("good");
        let quotas = mix.quotas(300);
        assert_eq!((quotas[Kind::NoPong as usize], quotas[Kind::Vanish as usize]), (200, 100));
        assert_eq!(quotas.iter().sum::<usize>(), 300);
    }

    #[test]
    fn every_zombie_is_of_some_kind_whatever_the_count() {
        for count in [0, 1, 7, 64, 2_000] {
            assert_eq!(Mix::default().quotas(count).iter().sum::<usize>(), count);
            let mix = Mix::parse("garbage=3,half-close=3,reset=1").expect("good");
            assert_eq!(mix.quotas(count).iter().sum::<usize>(), count);
        }
    }

    #[test]
    fn the_line_has_all_but_resets_and_no_kind_in_a_lump() {
        let line = Mix::default().line(2_000);
        assert_eq!(line.len(), 1_800);
        for part in line.chunks(9) {
            assert!(Kind::ALL[..9].iter().all(|kind| part.contains(kind)), "{part:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_the_kinds() {
        for wrong in ["werewolf=1", "no-pong=0", "", "no-pong=0,vanish=0"] {
            let told = Mix::parse(wrong).expect_err(wrong);
            assert!(told.contains("silent-handshake") && told.contains("reset"), "{told}");
        }
        for wrong in ["no-pong=1,no-pong=2", "vanish=-1", "vanish=many"] {
            assert!(Mix::parse(wrong).is_err(), "{wrong}");
        }
    }
}
