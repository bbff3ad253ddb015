//! Cuts the text form into tokens.
//!
//! Takes any string; gives tokens with their places, or the place of a character that starts none.
//! One pass, linear time. Lines matter to the grammar, so their ends are tokens too, except behind a comma or an
//! opening bracket, where a list may go on. Comments are dropped, but for promises: `; run:` and `; bench:`.

use crate::Error;

/// What a token is. Its text is the span of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Letters, digits, `_` and `.`: names, ops, numbers without their sign.
    Word,
    /// `@` and a word.
    At,
    /// A quoted string, quotes included.
    Text,
    /// One of `= , : ( ) [ ] { } * + - !`.
    Mark(u8),
    /// `->`
    Arrow,
    /// `==`, in promises.
    Equals,
    /// The start of a promise: `run:`.
    Run,
    /// The start of a promise: `bench:`.
    Bench,
    /// The end of a line.
    Line,
    /// The end of the source; always the last token.
    End,
}

/// A token: where it stands and how long it is, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub kind: Kind,
    pub start: u32,
    pub length: u32,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
}

const fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    /// Bytes before this line.
    line_start: usize,
    /// Bytes of the line so far that are not the first of their character.
    continuations: usize,
    tokens: Vec<Token>,
}

/// The tokens of a source.
pub fn tokens(source: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer {
        source,
        at: 0,
        line: 1,
        line_start: 0,
        continuations: 0,
        tokens: Vec::new(),
    };
    if source.len() > (u32::MAX / 4) as usize {
        return Err(Error::new(1, 1, "the source is longer than 1 GiB"));
    }
    while lexer.step()? {}
    lexer.token(Kind::End, 0);
    Ok(lexer.tokens)
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        *self.source.as_bytes().get(self.at + ahead).unwrap_or(&0)
    }

    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or("")
    }

    fn column(&self) -> u32 {
        (self.at - self.line_start - self.continuations) as u32 + 1
    }

    /// Appends a token of that many bytes and moves behind it.
    fn token(&mut self, kind: Kind, length: usize) {
        let column = self.column();
        self.tokens.push(Token {
            kind,
            start: self.at as u32,
            length: length as u32,
            line: self.line,
            column,
        });
        self.skip(length);
    }

    /// Moves on within a line.
    fn skip(&mut self, length: usize) {
        let bytes = self.source.as_bytes();
        let passed = bytes.get(self.at..self.at + length).unwrap_or(&[]);
        self.continuations += passed.iter().filter(|&&byte| byte & 0xc0 == 0x80).count();
        self.at += length;
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::new(self.line, self.column(), message))
    }

    fn line_begins(&self) -> bool {
        self.tokens
            .last()
            .is_none_or(|token| token.kind == Kind::Line)
    }

    /// Whether a list goes on in the next line.
    fn list_is_open(&self) -> bool {
        self.tokens
            .last()
            .is_some_and(|token| matches!(token.kind, Kind::Mark(b',' | b'(' | b'[')))
    }

    /// Handles what stands here; false at the end of the source.
    fn step(&mut self) -> Result<bool, Error> {
        if self.at >= self.source.len() {
            return Ok(false);
        }
        match self.peek(0) {
            b'\n' => {
                if self.line_begins() || self.list_is_open() {
                    self.at += 1;
                } else {
                    self.token(Kind::Line, 1);
                }
                self.line += 1;
                self.line_start = self.at;
                self.continuations = 0;
            }
            b' ' | b'\t' | b'\r' => self.skip(1),
            b';' => self.comment(),
            b'"' => self.text()?,
            b'@' => {
                let length = self.word_length(1);
                if length == 0 {
                    return self.error("expected a name behind `@`");
                }
                self.token(Kind::At, 1 + length);
            }
            b'-' if self.peek(1) == b'>' => self.token(Kind::Arrow, 2),
            b'=' if self.peek(1) == b'=' => self.token(Kind::Equals, 2),
            byte @ (b'=' | b',' | b':' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'*' | b'+'
            | b'-' | b'!') => self.token(Kind::Mark(byte), 1),
            byte if in_word(byte) => {
                let length = self.word_length(0);
                self.token(Kind::Word, length);
            }
            _ => {
                let found = self.rest().chars().next().unwrap_or(' ');
                return self.error(format!("unexpected character {found:?}"));
            }
        }
        Ok(true)
    }

    /// The length of the word that many bytes ahead. The sign of a decimal exponent belongs to its number.
    fn word_length(&self, ahead: usize) -> usize {
        let bytes = self.source.as_bytes().get(self.at + ahead..).unwrap_or(&[]);
        let run = |from: usize| {
            let rest = bytes.get(from..).unwrap_or(&[]);
            rest.iter().take_while(|&&byte| in_word(byte)).count()
        };
        let length = run(0);
        let number = bytes.first().is_some_and(u8::is_ascii_digit) && !bytes.starts_with(b"0x");
        let exponent = length > 1 && matches!(bytes.get(length - 1), Some(b'e' | b'E'));
        let sign = matches!(bytes.get(length), Some(b'+' | b'-'));
        let digit = bytes.get(length + 1).is_some_and(u8::is_ascii_digit);
        if number && exponent && sign && digit {
            length + 1 + run(length + 1)
        } else {
            length
        }
    }

    /// A comment to the end of the line, or only its head if it is a promise: the rest is read as tokens.
    fn comment(&mut self) {
        let rest = self.rest();
        let spaces = rest
            .bytes()
            .skip(1)
            .take_while(|&byte| byte == b' ')
            .count();
        let said = rest.get(1 + spaces..).unwrap_or("");
        let promise = if !self.line_begins() {
            None
        } else if said.starts_with("run:") {
            Some((Kind::Run, "run:".len()))
        } else if said.starts_with("bench:") {
            Some((Kind::Bench, "bench:".len()))
        } else {
            None
        };
        match promise {
            Some((kind, length)) => {
                self.skip(1 + spaces);
                self.token(kind, length);
            }
            None => {
                let length = rest.find('\n').unwrap_or(rest.len());
                self.skip(length);
            }
        }
    }

    fn text(&mut self) -> Result<(), Error> {
        let bytes = self.rest().as_bytes();
        let mut length = 1;
        loop {
            match bytes.get(length) {
                Some(b'"') => break,
                Some(b'\\') if bytes.get(length + 1).is_some_and(|&byte| byte != b'\n') => {
                    length += 2;
                }
                Some(b'\n') | None => return self.error("the string has no closing quote"),
                Some(_) => length += 1,
            }
        }
        self.token(Kind::Text, length + 1);
        Ok(())
    }
}
