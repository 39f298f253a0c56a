//! Tokens: random texts that stand for an account; only their hash is stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// What tokens begin with, so that they are known where they should not be.
pub const PREFIX: &str = "nephos_";

/// What is stored of a token. A plain hash is enough: nobody guesses 256 random bits.
pub type Digest = [u8; 32];

/// A new token: 256 random bits.
pub fn generate() -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// What is stored of this token.
pub fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let (first, second) = (generate(), generate());
        assert_ne!(first, second);
        assert_eq!(first.len(), PREFIX.len() + 43);
        assert!(first.starts_with(PREFIX) && first.is_ascii());
        assert_ne!(digest(&first), digest(&second));
        assert_eq!(digest(&first), digest(&first));
    }
}
