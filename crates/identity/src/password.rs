//! Passwords: argon2id, with the parameters that OWASP names.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// Fewest characters of a password.
pub const SHORTEST: usize = 8;
/// Most bytes of a password.
pub const LONGEST: usize = 1024;

/// Why a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too easily guessed.
    #[error("a password needs at least {SHORTEST} characters")]
    Short,
    /// Too costly to look at.
    #[error("a password has at most {LONGEST} bytes")]
    Long,
    /// Gnocchi's client sends a colon behind whatever it is given.
    #[error("a password cannot end with a colon, and holds no control characters")]
    Unusable,
    /// The machine gave no random numbers, or no memory.
    #[error("the password could not be hashed")]
    Hashing,
}

/// What is stored of a password: algorithm, parameters, salt and hash as one text.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < SHORTEST {
        return Err(PasswordError::Short);
    }
    if password.len() > LONGEST {
        return Err(PasswordError::Long);
    }
    if password.ends_with(':') || password.chars().any(char::is_control) {
        return Err(PasswordError::Unusable);
    }
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| PasswordError::Hashing)?;
    Ok(hash.to_string())
}

/// Whether `stored` is of this password. Takes milliseconds of a processor and 19 MiB: not for threads that serve
/// requests.
pub fn verify(password: &str, stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    password.len() <= LONGEST && Argon2::default().verify_password(password.as_bytes(), &stored).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_known_again_and_their_hashes_are_salted() {
        let (first, second) = (hash("correct horse").unwrap(), hash("correct horse").unwrap());
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, second);
        assert!(verify("correct horse", &first) && verify("correct horse", &second));
        assert!(!verify("correct horses", &first));
        assert!(!verify("correct horse", "") && !verify("correct horse", "$argon2id$"));
    }

    #[test]
    fn unusable_passwords_are_refused() {
        for (password, error) in [
            ("short", PasswordError::Short),
            ("long enough:", PasswordError::Unusable),
            ("long\nenough", PasswordError::Unusable),
            (&"x".repeat(LONGEST + 1), PasswordError::Long),
        ] {
            assert_eq!(hash(password), Err(error));
        }
    }
}
