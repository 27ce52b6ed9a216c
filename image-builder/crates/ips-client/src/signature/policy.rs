//! What an image demands of the signatures of packages, and how one fails that.

use ips::fmri::Publisher;
use ips::image::ImageConfig;

/// The property that says what is demanded of packages.
const PROPERTY: &str = "signature-policy";
/// The property with the names of which one has to have signed.
const NAMES_PROPERTY: &str = "signature-required-names";
/// How many characters of an unknown policy are told.
const POLICY_CHARACTERS_SHOWN: usize = 100;

/// What an image demands of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Nothing.
    Ignore,
    /// A signature, if there is one, has to be good.
    Verify,
    /// There has to be a good signature.
    RequireSignatures,
    /// There has to be a good signature, and all of these names in the certificates that lead to what is trusted.
    RequireNames(Vec<String>),
}

impl Policy {
    /// The policy for the packages of a publisher: that of the image or that of the publisher, whichever is stricter. Each
    /// of them is `verify` unless it says something else, so that signatures are only ignored where both say so.
    ///
    /// # Errors
    /// One of them is a word that is no policy: whoever wrote it meant something, which may be stricter.
    pub fn of(config: &ImageConfig, publisher: &Publisher) -> Result<Self, PolicyError> {
        let own = Self::read(config.publisher_property(publisher, PROPERTY), || {
            config.publisher_property_list(publisher, NAMES_PROPERTY)
        });
        let of_image = Self::read(config.property(PROPERTY), || config.property_list(NAMES_PROPERTY));
        let of_image = of_image.map_err(|word| PolicyError { publisher: None, word })?;
        let own = own.map_err(|word| PolicyError { publisher: Some(publisher.clone()), word })?;
        Ok(match (of_image, own) {
            (Self::RequireNames(mut names), Self::RequireNames(own)) => {
                names.extend(own);
                Self::RequireNames(names)
            }
            (of_image, own) if own.strictness() > of_image.strictness() => own,
            (of_image, _) => of_image,
        })
    }

    /// # Errors
    /// The word, if it is no policy.
    fn read(text: Option<&str>, names: impl FnOnce() -> Vec<String>) -> Result<Self, String> {
        match text {
            Some("ignore") => Ok(Self::Ignore),
            // The last three are how the client writes that nothing is set.
            None | Some("verify" | "DEFAULT" | "None" | "") => Ok(Self::Verify),
            Some("require-signatures") => Ok(Self::RequireSignatures),
            Some("require-names") => Ok(Self::RequireNames(names())),
            Some(word) => Err(word.escape_debug().take(POLICY_CHARACTERS_SHOWN).collect()),
        }
    }

    fn strictness(&self) -> u8 {
        match self {
            Self::Ignore => 0,
            Self::Verify => 1,
            Self::RequireSignatures => 2,
            Self::RequireNames(_) => 3,
        }
    }
}

/// An image demands something of packages that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {PROPERTY} of {} is `{word}`, which is no policy", of_whom(publisher.as_ref()))]
pub struct PolicyError {
    /// The publisher whose policy it is; none for that of the image.
    pub publisher: Option<Publisher>,
    /// The word.
    pub word: String,
}

fn of_whom(publisher: Option<&Publisher>) -> String {
    publisher.map_or_else(|| "the image".to_owned(), |publisher| format!("publisher {publisher}"))
}

/// A package is not signed as the image demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature by a certificate.
    #[error("it is not signed")]
    Unsigned,
    /// No certificate has a name.
    #[error("`{name}` is neither who signed it nor who vouches for that")]
    Name {
        /// The name.
        name: String,
    },
    /// A signature does not fit the manifest.
    #[error("a signature does not fit what it signs")]
    Value,
    /// The signature is of a kind that is not known.
    #[error("the algorithm `{algorithm}` of a signature is not known")]
    Algorithm {
        /// The algorithm.
        algorithm: String,
    },
    /// A certificate is none.
    #[error("the certificate {hash} cannot be used: {reason}")]
    Certificate {
        /// Its hash in the manifest.
        hash: String,
        /// What is wrong.
        reason: String,
    },
    /// Signatures cannot be checked here.
    #[error("a signature can only be checked with a processor that has AES, PCLMULQDQ, ADX, AVX2 and BMI2")]
    Processor,
    /// The certificate is not trusted.
    #[error("its certificate leads to none that the image trusts: {reason}")]
    Chain {
        /// Why not.
        reason: String,
    },
}
