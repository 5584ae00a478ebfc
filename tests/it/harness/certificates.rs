//! Certificates made for a test: a right one and those that must not do.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

const DAY: i64 = 24 * 3600;

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

/// Certificates for a server on 127.0.0.1, and the file of the authority that its clients know.
pub struct Certificates {
    authority: tempfile::NamedTempFile,
    /// The one that is in order.
    pub right: Certificate,
    /// What is wrong, and a certificate of which that is so.
    pub wrong: Vec<(&'static str, Certificate)>,
}

impl Certificates {
    /// New ones, of an authority that nobody else knows.
    pub fn new() -> Self {
        let authority = Authority::new("The authority");
        let (of_its_name, other) = (Authority::new("The authority"), Authority::new("Another one"));
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&authority.certificate.to_pem().expect("PEM"))
            .expect("the file can be written");
        Self {
            authority: file,
            right: authority.certify("localhost", "127.0.0.1", 1),
            wrong: vec![
                ("an unknown authority", other.certify("localhost", "127.0.0.1", 1)),
                (
                    "an authority of the same name",
                    of_its_name.certify("localhost", "127.0.0.1", 1),
                ),
                ("another host", authority.certify("elsewhere.example", "127.0.0.9", 1)),
                ("expired", authority.certify("localhost", "127.0.0.1", -1)),
            ],
        }
    }

    /// The file of the authority, for those who are to trust it.
    pub fn authority(&self) -> &Path {
        self.authority.path()
    }
}

struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = key();
        let mut builder = builder(name, &key, 30);
        builder.set_issuer_name(&builder_name(name)).expect("an issuer");
        let is_authority = BasicConstraints::new().critical().ca().build().expect("constraints");
        builder.append_extension(is_authority).expect("an extension");
        let usage = KeyUsage::new().critical().key_cert_sign().build().expect("a usage");
        builder.append_extension(usage).expect("an extension");
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        Self {
            certificate: builder.build(),
            key,
        }
    }

    /// For this host until so many days from now.
    fn certify(&self, host: &str, address: &str, days: i64) -> Certificate {
        let key = key();
        let mut builder = builder(host, &key, days);
        builder
            .set_issuer_name(self.certificate.subject_name())
            .expect("an issuer");
        let mut names = SubjectAlternativeName::new();
        names.dns(host).ip(address);
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let names = names.build(&context).expect("names");
        builder.append_extension(names).expect("an extension");
        builder.sign(&self.key, MessageDigest::sha256()).expect("signed");
        let text = |pem: Vec<u8>| String::from_utf8(pem).expect("PEM is ASCII");
        Certificate {
            certificate: text(builder.build().to_pem().expect("PEM")),
            key: text(key.private_key_to_pem_pkcs8().expect("PEM")),
        }
    }
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

fn builder_name(name: &str) -> openssl::x509::X509Name {
    let mut builder = X509NameBuilder::new().expect("a name");
    builder.append_entry_by_text("CN", name).expect("an entry");
    builder.build()
}

/// Valid from two days ago on.
fn builder(name: &str, key: &PKey<Private>, days: i64) -> X509Builder {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let at = |days: i64| Asn1Time::from_unix(i64::try_from(now).expect("a time") + days * DAY).expect("a time");
    let mut serial = BigNum::new().expect("a number");
    serial
        .rand(127, openssl::bn::MsbOption::ONE, false)
        .expect("a random number");
    let mut builder = X509Builder::new().expect("a builder");
    builder.set_version(2).expect("version 3");
    builder
        .set_serial_number(&serial.to_asn1_integer().expect("a number"))
        .expect("a serial number");
    builder.set_subject_name(&builder_name(name)).expect("a subject");
    builder.set_not_before(&at(-2)).expect("a time");
    builder.set_not_after(&at(days)).expect("a time");
    builder.set_pubkey(key).expect("a key");
    builder
}
