//! What is about one system alone, in a type that is about both: `#[serde(with = "only::illumos")]` on a variant. A program
//! that does not meet the system holds no code to read or write it, and refuses it.

use crate::System;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn write<T: Serialize, S: Serializer>(system: System, value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    if system.is_met() {
        value.serialize(serializer)
    } else {
        Err(S::Error::custom(format_args!("this is of {system}")))
    }
}

fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(system: System, deserializer: D) -> Result<T, D::Error> {
    if system.is_met() {
        T::deserialize(deserializer)
    } else {
        Err(D::Error::custom(format_args!("this is of {system}")))
    }
}

/// Of illumos.
pub mod illumos {
    use super::{Deserialize, Deserializer, Serialize, Serializer, System};

    /// Writes it.
    ///
    /// # Errors
    /// As the value, and where the program does not meet the system.
    pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        super::write(System::Illumos, value, serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// As the value, and where the program does not meet the system.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        super::read(System::Illumos, deserializer)
    }
}

/// Of Linux.
pub mod linux {
    use super::{Deserialize, Deserializer, Serialize, Serializer, System};

    /// Writes it.
    ///
    /// # Errors
    /// As the value, and where the program does not meet the system.
    pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        super::write(System::Linux, value, serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// As the value, and where the program does not meet the system.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        super::read(System::Linux, deserializer)
    }
}
