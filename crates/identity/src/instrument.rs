//! Metrics of logins.

use metrics::counter;

/// Somebody was made out.
pub(crate) fn accepted(how: &'static str) {
    counter!("nephos_identity_accepted_logins_total", "how" => how).increment(1);
}

/// Somebody was refused.
pub(crate) fn refused(reason: &'static str) {
    counter!("nephos_identity_refused_logins_total", "reason" => reason).increment(1);
}

/// A password was hashed and compared.
pub(crate) fn verified() {
    counter!("nephos_identity_verified_passwords_total").increment(1);
}
