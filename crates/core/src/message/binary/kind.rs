//! What kind of file a message begins as. The first bytes say it, and they are the sender's: a kind is no promise of what
//! follows.

use infer::MatcherType;

/// Names for what is not told by its first bytes, and those that are called otherwise than their files end.
const OCTETS: &str = "octet-stream";
const TEXT: &str = "text";
const JSON: &str = "json";

/// Every kind that a policy may name.
pub const KINDS: &[&str] = &[
    "7z",
    "aac",
    "aiff",
    "amr",
    "ape",
    "ar",
    "avi",
    "avif",
    "bmp",
    "bz2",
    "bz3",
    "cab",
    "cbor",
    "class",
    "cpio",
    "cr2",
    "crx",
    "dcm",
    "deb",
    "der",
    "dex",
    "dey",
    "djvu",
    "dll",
    "doc",
    "docx",
    "dsf",
    "dwg",
    "elf",
    "eot",
    "epub",
    "exe",
    "flac",
    "flv",
    "gif",
    "gzip",
    "heif",
    "ico",
    "jp2",
    "jpeg",
    "json",
    "jxl",
    "jxr",
    "llvm",
    "lz",
    "lz4",
    "m4a",
    "m4v",
    "mach",
    "midi",
    "mkv",
    "mobi",
    "mov",
    "mp3",
    "mp4",
    "mpg",
    "msgpack",
    "msi",
    "nes",
    "obj",
    "octet-stream",
    "odp",
    "ods",
    "odt",
    "ogg",
    "opus",
    "ora",
    "otf",
    "par2",
    "pdf",
    "png",
    "ppt",
    "pptx",
    "ps",
    "psd",
    "qcow2",
    "rar",
    "rpm",
    "rtf",
    "sqlite",
    "swf",
    "tar",
    "text",
    "tiff",
    "ttf",
    "wasm",
    "wav",
    "webm",
    "webp",
    "wmv",
    "woff",
    "woff2",
    "xls",
    "xlsx",
    "xz",
    "z",
    "zip",
    "zstd",
];

/// The kind of a binary message. `textual`: it is UTF-8 without a zero byte.
#[must_use]
pub fn kind_of(bytes: &[u8], textual: bool) -> &'static str {
    let file = infer::get(bytes).filter(|kind| kind.matcher_type() != MatcherType::Text);
    match file.map(|kind| kind.extension()) {
        Some("jpg") => "jpeg",
        Some("gz") => "gzip",
        Some("tif") => "tiff",
        Some("zst") => "zstd",
        Some("bc") => "llvm",
        Some("Z") => "z",
        Some(known) if KINDS.contains(&known) => known,
        _ if !textual => OCTETS,
        _ if bytes.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'[')) => JSON,
        _ => TEXT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "jpeg"),
            (b"GIF89a\x01\0", "gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "webp"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
            (b"OggS\0\x02", "ogg"),
            (b"%PDF-1.7\n", "pdf"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "mp4"),
            (b"PK\x03\x04\x14\0\0\0", "zip"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\0asm\x01\0\0\0", "wasm"),
            (b"\x01\x02\x03\xff", "octet-stream"),
            (b"", "text"),
            (b" {\"a\":1}", "json"),
            (b"<!DOCTYPE html><p>", "text"),
            (b"hello", "text"),
        ] {
            let textual = memchr::memchr(0, bytes).is_none() && std::str::from_utf8(bytes).is_ok();
            assert_eq!(kind_of(bytes, textual), kind, "{}", bytes.escape_ascii());
            assert!(KINDS.contains(&kind));
        }
        assert!(KINDS.is_sorted());
    }
}
