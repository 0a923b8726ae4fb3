//! Finds the files that hold settings, and sees when they change: the main file, and those in the directory beside it
//! (`dynode.toml`, `dynode.d/*.toml`), by name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Error, FILE, FILE_VARIABLE, Place, Sources};

/// The extension of the directory beside a file.
const DIRECTORY: &str = "d";

/// The name that asks for the built-in configuration with every provider, in place of a file.
const EVERYTHING: &str = "everything";
/// Its path in the sources.
const EVERYTHING_PATH: &str = "config/everything.toml";

/// A file that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// The state of the files at one moment. Equal stamps mean equal settings, as far as modification times can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<(PathBuf, Option<SystemTime>, u64)>);

impl Stamp {
    /// The state of `files`.
    pub(crate) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let look = |path: PathBuf| match fs::metadata(&path) {
            Ok(about) => (path, about.modified().ok(), about.len()),
            Err(_) => (path, None, 0),
        };
        Self(files.into_iter().map(look).collect())
    }
}

impl Sources {
    /// Reads every file, the lowest layer first.
    pub(super) fn read_files(&self) -> Result<Vec<Read>, Error> {
        let (main, place) = self.main_file();
        let mut files = Vec::new();
        if self.wants_everything() {
            files.push(Read { path: EVERYTHING_PATH.into(), text: super::EVERYTHING.to_owned() });
        }
        match fs::read_to_string(&main) {
            Ok(text) => files.push(Read { path: main.clone(), text }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && place.is_none() => {}
            Err(error) => return Err(unreadable(place, &main, &error)),
        }
        for path in self.files_beside(&main)? {
            let text = fs::read_to_string(&path).map_err(|error| unreadable(None, &path, &error))?;
            files.push(Read { path, text });
        }
        Ok(files)
    }

    /// The state of the files.
    pub(crate) fn stamp(&self) -> Stamp {
        let (main, _) = self.main_file();
        let beside = self.files_beside(&main).unwrap_or_default();
        Stamp::of(std::iter::once(main).chain(beside))
    }

    /// The main file, and where it was named, if anywhere.
    fn main_file(&self) -> (PathBuf, Option<Place>) {
        match self.named() {
            Some((path, place)) if path != Path::new(EVERYTHING) => (path.to_owned(), Some(place)),
            _ => (FILE.into(), None),
        }
    }

    /// Whether the built-in configuration lies below the main file.
    fn wants_everything(&self) -> bool {
        self.named().is_some_and(|(path, _)| path == Path::new(EVERYTHING))
    }

    /// The name of the main file, and where it was given.
    fn named(&self) -> Option<(&Path, Place)> {
        let by_variable = self.variables.get(FILE_VARIABLE).filter(|path| !path.is_empty());
        match (&self.file, by_variable) {
            (Some(path), _) => Some((path, Place::Flag("--config"))),
            (None, Some(path)) => Some((Path::new(path), Place::Variable(FILE_VARIABLE.to_owned()))),
            (None, None) => None,
        }
    }

    /// The files in the directory beside `main`, by name; none if there is no such directory.
    fn files_beside(&self, main: &Path) -> Result<Vec<PathBuf>, Error> {
        let directory = main.with_extension(DIRECTORY);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(None, &directory, &error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| unreadable(None, &directory, &error))?.path();
            // Skips the hidden files that editors leave while they write.
            let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if !is_hidden && path.extension().is_some_and(|ending| ending == "toml") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

fn unreadable(place: Option<Place>, path: &Path, error: &io::Error) -> Error {
    Error { place, key: String::new(), why: format!("cannot read `{}`: {error}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(directory: &tempfile::TempDir) -> Sources {
        Sources { file: Some(directory.path().join("dynode.toml")), ..Sources::default() }
    }

    #[test]
    fn the_files_beside_the_main_one_lie_over_it_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("dynode.toml", "workers = 1\nlog = \"info\"");
        fs::create_dir(directory.path().join("dynode.d")).unwrap();
        write("dynode.d/20.toml", "workers = 3");
        write("dynode.d/10.toml", "workers = 2\nlog = \"debug\"");
        write("dynode.d/.20.toml.swp", "{");
        write("dynode.d/readme.md", "{");
        let loaded = sources(&directory).load().unwrap();
        assert_eq!((loaded.config.workers, loaded.config.log.as_str()), (3, "debug"));
        assert_eq!(loaded.files.len(), 3);
        write("dynode.d/30.toml", "workers = \"many\"");
        let error = sources(&directory).load().unwrap_err().to_string();
        assert!(error.contains("dynode.d/30.toml:1:1: workers: "), "{error}");
    }

    #[test]
    fn a_stamp_changes_with_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let (sources, path) = (sources(&directory), directory.path().join("dynode.toml"));
        fs::write(&path, "workers = 1").unwrap();
        let before = sources.stamp();
        assert_eq!(sources.stamp(), before);
        fs::create_dir(directory.path().join("dynode.d")).unwrap();
        assert_eq!(sources.stamp(), before);
        let added = directory.path().join("dynode.d/a.toml");
        fs::write(&added, "workers = 2").unwrap();
        let more = sources.stamp();
        assert_ne!(more, before);
        fs::remove_file(added).unwrap();
        assert_eq!(sources.stamp(), before);
        fs::write(&path, "workers = 12").unwrap();
        assert_ne!(sources.stamp(), before);
    }
}
