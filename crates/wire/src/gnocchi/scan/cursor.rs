//! The punctuation of JSON.

/// What is left of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on with `rest`, an end of what was left.
    pub(super) fn go_on(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// The next byte that is no blank.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.rest.first()? {
                b' ' | b'\t' | b'\n' | b'\r' => self.rest = self.rest.get(1..)?,
                byte => return Some(byte),
            }
        }
    }

    /// Takes the next byte that is no blank.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.rest = self.rest.get(1..)?;
        Some(byte)
    }

    /// Takes this very byte, after blanks.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        // Mostly there is no blank.
        if self.skip(&[byte]) {
            return Some(());
        }
        (self.next()? == byte).then_some(())
    }

    /// Takes these bytes if they come next, without blanks before them.
    #[inline]
    pub(super) fn skip(&mut self, bytes: &[u8]) -> bool {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Nothing but blanks is left.
    pub(super) fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// A text without escapes, without its quotes.
    #[inline]
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        self.text_end()
    }

    /// The rest of a text whose quote was taken.
    #[inline]
    pub(super) fn text_end(&mut self) -> Option<&'a [u8]> {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let length = self.rest.iter().position(special)?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    /// An object; `value` is given each key and reads what it stands for.
    pub(super) fn object(&mut self, mut value: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            return self.take(b'}');
        }
        loop {
            let key = self.text()?;
            self.take(b':')?;
            value(self, key)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }
}
