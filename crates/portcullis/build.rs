//! How the program is linked.
//!
//! It is position-independent, so at start the loader goes through a list of 45,000 addresses to move. Packed
//! (`DT_RELR`) that list is 20 KiB instead of a megabyte of resident memory. glibc reads it from 2.36 on; where it is
//! older, unknown or another libc, the list stays as it is.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name| std::env::var(name).unwrap_or_default();
    let native = of("HOST") == of("TARGET") && of("TARGET").ends_with("-linux-gnu");
    if native && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version that `getconf` names: `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
