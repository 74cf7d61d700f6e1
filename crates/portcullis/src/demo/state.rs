//! The demo's state folder: one a user, under the temporary folder, closed to others.
//!
//! Decides whether a folder that is there may be used: it is ours and nobody else may enter. Never
//! follows a link somebody put in its place (CWE-377).

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Where it is.
pub(crate) fn usual_state() -> PathBuf {
    let user = std::env::var("USER").unwrap_or_default();
    let plain: String = user.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    std::env::temp_dir().join(format!("portcullis-demo-{}", if plain.is_empty() { "state" } else { &plain }))
}

/// Makes the folder, or makes sure that the one there is ours.
///
/// # Errors
/// It cannot be made, or belongs to somebody else, or is open to others.
pub(crate) fn prepare(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let there = std::fs::symlink_metadata(folder)?;
    if !there.is_dir() || there.mode() & 0o077 != 0 || there.uid() != own_uid(folder)? {
        return Err(io::Error::other("it is there but not closed to others; remove it, or name another with --state"));
    }
    Ok(())
}

/// Whoever a new file belongs to is who we are.
fn own_uid(folder: &Path) -> io::Result<u32> {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let uid = File::create_new(&probe)?.metadata()?.uid();
    std::fs::remove_file(&probe)?;
    Ok(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_of_ours_is_used_again_and_an_open_or_linked_one_is_not() {
        let root = std::env::temp_dir().join(format!("portcullis-state-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let folder = root.join("state");
        prepare(&folder).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        prepare(&folder).unwrap();
        let link = root.join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(prepare(&link).is_err(), "a link");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(prepare(&folder).is_err(), "open to others");
        std::fs::remove_dir_all(&root).unwrap();
    }
}
