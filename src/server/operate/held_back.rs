//! What SIGHUP must not take while something it belongs to waits for a restart.
//! Not for what needs a restart by itself; `config::compare` knows that.
//!
//! A path is served until the restart whatever the new file says of its route. Taking away what
//! guards it at once would open it in between.

use crate::config::{Config, Route};
use crate::gate::{Auth, RequiredClaim, Settings};

/// Puts what must wait back to its old value in `new`: a line for each.
pub(super) fn hold_back(old: &Config, new: &mut Config) -> Vec<String> {
    let kept = kept_claims(old, new);
    let Some(first) = kept.first() else { return Vec::new() };
    let mut lines = Vec::new();
    if old.gate.auth == Auth::Jwt && new.gate.auth == Auth::Off {
        lines.push(format!("auth jwt -> off, while {} is served,", first.path));
        let Settings { allowed_origins, requires_origin, .. } = new.gate.clone();
        new.gate = Settings { allowed_origins, requires_origin, ..old.gate.clone() };
        return lines;
    }
    for claim in kept {
        lines.push(format!("require-claim without {claim}, while {} is served,", claim.path));
        new.gate.required_claims.push(claim);
    }
    lines
}

/// Requirements that the new configuration lacks, of paths whose routes go or change with a restart.
fn kept_claims(old: &Config, new: &Config) -> Vec<RequiredClaim> {
    let is_wanted = |claim: &&RequiredClaim| {
        let route = |config: &Config| -> Option<Route> {
            config.routes.iter().find(|route| route.path == claim.path).cloned()
        };
        let served = route(old);
        served.is_some() && served != route(new) && !new.gate.required_claims.contains(claim)
    };
    old.gate.required_claims.iter().filter(is_wanted).cloned().collect()
}
