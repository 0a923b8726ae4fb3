//! The secrets of users: one nkey each, whose seed is a file that only its owner can read. An existing seed is kept,
//! so that the command can run again for another tenant.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nkeys::{KeyPair, KeyPairType};

/// A file cannot be read or written, or is not one of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else. Its content is not shown.
    #[error("{} holds no seed of a user (`SU…`); remove it, and the user gets a new one", .0.display())]
    NoSeed(PathBuf),
    /// There is no randomness.
    #[error("no nkey can be made: {0}")]
    Key(#[from] nkeys::error::Error),
}

/// A directory of seeds.
#[derive(Debug)]
pub(super) struct Seeds<'a>(&'a Path);

impl<'a> Seeds<'a> {
    /// Creates the directory if it is missing.
    pub(super) fn open(directory: &'a Path) -> Result<Self, Fault> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|source| Fault::File { path: directory.to_owned(), source })?;
        Ok(Self(directory))
    }

    /// The public key of the user `name`; creates its seed if it has none.
    pub(super) fn public_key(&self, name: &str) -> Result<String, Fault> {
        let path = self.0.join(format!("{name}.nk"));
        let pair = match fs::read_to_string(&path) {
            Ok(text) => {
                let pair = KeyPair::from_seed(text.trim()).ok();
                let user = pair.filter(|pair| matches!(pair.key_pair_type(), KeyPairType::User));
                user.ok_or(Fault::NoSeed(path))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let pair = KeyPair::new_user();
                write(&path, &pair.seed()?).map_err(|source| Fault::File { path, source })?;
                pair
            }
            Err(source) => return Err(Fault::File { path, source }),
        };
        Ok(pair.public_key())
    }
}

/// Without a final line break: some clients take it for a part of the seed.
fn write(path: &Path, seed: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(seed.as_bytes())
}
