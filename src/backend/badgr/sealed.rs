//! Tokens as they are kept: encrypted, so that neither a dump nor a backup of the database gives them away.

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// Separates this key from every other use of `SECRET_KEY`.
const KEY_PREFIX: &[u8] = b"accolade/badgr-tokens/v1\0";
/// The first byte of what is kept.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals and opens with one key, for one place.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    place: Vec<u8>,
}

impl Seal {
    /// `place` says where the sealed is kept and what it is for: what was sealed for another place does not open.
    /// Without a secret a key is drawn, and nothing that is kept outlives the process.
    pub(super) fn new(secret: Option<&Secret>, place: &str) -> Self {
        let key: [u8; 32] = match secret {
            Some(secret) => Sha256::new()
                .chain_update(KEY_PREFIX)
                .chain_update(secret.expose())
                .finalize()
                .into(),
            None => rand::random(),
        };
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(key)),
            place: place.as_bytes().to_vec(),
        }
    }

    /// A version byte, a random nonce, and the encrypted text.
    pub(super) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: plain,
            aad: &self.place,
        };
        let encrypted = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("tokens are far shorter than the cipher's limit");
        [&[VERSION], nonce.as_slice(), &encrypted].concat()
    }

    /// What was sealed with the same key for the same place; `None` for anything else.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (&version, rest) = sealed.split_first()?;
        let (nonce, encrypted) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if version != VERSION {
            return None;
        }
        let payload = Payload {
            msg: encrypted,
            aad: &self.place,
        };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_and_only_in_the_same_place() {
        let (key, other) = (Secret::new("key"), Secret::new("other"));
        let seal = Seal::new(Some(&key), "badgr-tokens");
        let sealed = seal.seal(b"token");
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_eq!(
            Seal::new(Some(&key), "badgr-tokens").open(&sealed).as_deref(),
            Some(&b"token"[..])
        );
        assert_eq!(Seal::new(Some(&other), "badgr-tokens").open(&sealed), None);
        assert_eq!(Seal::new(Some(&key), "elsewhere").open(&sealed), None);
        assert_eq!(Seal::new(None, "badgr-tokens").open(&sealed), None);
        assert_ne!(seal.seal(b"token"), sealed, "each time another nonce");
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let seal = Seal::new(None, "x");
        let sealed = seal.seal(b"token");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(&changed), None, "byte {at}");
            assert_eq!(seal.open(&sealed[..at]), None);
        }
    }
}
