//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 9.1), and nothing of its meaning.

use super::negotiate::ExtensionError;

/// Extensions in all headers of one handshake. Browsers send one.
pub(crate) const EXTENSIONS_MAX: usize = 16;
/// Parameters of one extension. permessage-deflate knows four.
pub(crate) const PARAMS_MAX: usize = 16;

/// One element of the list: `name; key; key=value`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extension<'a> {
    pub(crate) name: &'a str,
    pub(crate) params: Vec<(&'a str, Option<String>)>,
}

/// Reads all headers as one list.
pub(crate) fn extensions<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Extension<'a>>, ExtensionError> {
    let mut list = Vec::new();
    for value in values {
        let text = std::str::from_utf8(value).map_err(|_| ExtensionError::Malformed)?;
        let mut rest = Rest(text);
        loop {
            rest.skip_spaces();
            // RFC 9110 5.6.1: empty elements are allowed and mean nothing.
            if rest.take(',') {
                continue;
            }
            if rest.0.is_empty() {
                break;
            }
            if list.len() == EXTENSIONS_MAX {
                return Err(ExtensionError::TooMany);
            }
            list.push(extension(&mut rest)?);
            rest.skip_spaces();
            if !rest.0.is_empty() && !rest.take(',') {
                return Err(ExtensionError::Malformed);
            }
        }
    }
    Ok(list)
}

fn extension<'a>(rest: &mut Rest<'a>) -> Result<Extension<'a>, ExtensionError> {
    let name = rest.token()?;
    let mut params = Vec::new();
    loop {
        rest.skip_spaces();
        if !rest.take(';') {
            return Ok(Extension { name, params });
        }
        if params.len() == PARAMS_MAX {
            return Err(ExtensionError::TooMany);
        }
        rest.skip_spaces();
        let key = rest.token()?;
        rest.skip_spaces();
        let value = if rest.take('=') {
            rest.skip_spaces();
            Some(rest.value()?)
        } else {
            None
        };
        params.push((key, value));
    }
}

struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn token(&mut self) -> Result<&'a str, ExtensionError> {
        let end = self.0.find(|c| !is_token_char(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        if token.is_empty() {
            return Err(ExtensionError::Malformed);
        }
        self.0 = rest;
        Ok(token)
    }

    /// A token, or a quoted string whose content is a token.
    fn value(&mut self) -> Result<String, ExtensionError> {
        if !self.take('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut chars = self.0.chars();
        loop {
            let c = match chars.next() {
                Some('"') => break,
                Some('\\') => chars.next(),
                other => other,
            };
            match c {
                Some(c) if is_token_char(c) => value.push(c),
                _ => return Err(ExtensionError::Malformed),
            }
        }
        self.0 = chars.as_str();
        if value.is_empty() {
            return Err(ExtensionError::Malformed);
        }
        Ok(value)
    }
}

/// RFC 9110 5.6.2.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}
