//! Reading tokens one by one, and the literals that the grammar is made of.
//!
//! Every method takes what it names or gives an error that says what was expected and what stands there.

use crate::Error;
use crate::lexer::{Kind, Token};
use patchjit::types::Type;

/// A place in the tokens of a source.
#[derive(Clone, Copy)]
pub struct Cursor<'t, 's> {
    pub source: &'s str,
    pub tokens: &'t [Token],
    pub at: usize,
}

/// What stands behind the last token, should one ever be read.
const END: Token = Token {
    kind: Kind::End,
    start: 0,
    length: 0,
    line: 1,
    column: 1,
};

impl<'s> Cursor<'_, 's> {
    /// The token here. The last one is the end of the source, and stays.
    pub fn peek(&self) -> Token {
        self.ahead(0)
    }

    /// The token that many places ahead.
    pub fn ahead(&self, count: usize) -> Token {
        let token = self.tokens.get(self.at + count).or(self.tokens.last());
        token.copied().unwrap_or(END)
    }

    pub fn next(&mut self) -> Token {
        let token = self.peek();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    pub fn text(&self, token: Token) -> &'s str {
        let start = token.start as usize;
        let text = self.source.get(start..start + token.length as usize);
        text.unwrap_or("")
    }

    /// The text of the token here.
    pub fn word(&self) -> &'s str {
        self.text(self.peek())
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.peek().kind == Kind::Word && self.word() == word
    }

    pub fn is_mark(&self, mark: u8) -> bool {
        self.peek().kind == Kind::Mark(mark)
    }

    pub fn at_line_end(&self) -> bool {
        matches!(self.peek().kind, Kind::Line | Kind::End)
    }

    /// Moves on if this mark stands here.
    pub fn take_mark(&mut self, mark: u8) -> bool {
        let there = self.is_mark(mark);
        if there {
            self.at += 1;
        }
        there
    }

    /// Moves on if this word stands here.
    pub fn take_word(&mut self, word: &str) -> bool {
        let there = self.is_word(word);
        if there {
            self.at += 1;
        }
        there
    }

    pub fn error_at<T>(&self, token: Token, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::new(token.line, token.column, message))
    }

    /// An error at the token here.
    pub fn expected<T>(&self, what: &str) -> Result<T, Error> {
        let token = self.peek();
        let found = match token.kind {
            Kind::Line => "the end of the line".to_string(),
            Kind::End => "the end of the file".to_string(),
            _ => format!("`{}`", shortened(self.text(token))),
        };
        self.error_at(token, format!("expected {what}, found {found}"))
    }

    pub fn mark(&mut self, mark: u8, context: &str) -> Result<(), Error> {
        if self.take_mark(mark) {
            Ok(())
        } else {
            self.expected(&format!("`{}` {context}", char::from(mark)))
        }
    }

    pub fn end_of_line(&mut self) -> Result<(), Error> {
        if self.at_line_end() {
            self.next();
            Ok(())
        } else {
            self.expected("the end of the line")
        }
    }

    /// Moves to the start of the next line.
    pub fn skip_line(&mut self) {
        while !self.at_line_end() {
            self.at += 1;
        }
        self.next();
    }

    /// A name of a value or block.
    pub fn name(&mut self, what: &str) -> Result<(&'s str, Token), Error> {
        let token = self.peek();
        let text = self.text(token);
        let named = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if token.kind != Kind::Word || !named {
            return self.expected(what);
        }
        self.at += 1;
        Ok((text, token))
    }

    /// A name behind `@`, without it.
    pub fn at_name(&mut self, what: &str) -> Result<(&'s str, Token), Error> {
        let token = self.peek();
        let name = self.text(token).get(1..).unwrap_or("");
        let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if token.kind != Kind::At || !named {
            return self.expected(what);
        }
        self.at += 1;
        Ok((name, token))
    }

    pub fn ty(&mut self) -> Result<Type, Error> {
        let token = self.peek();
        if token.kind != Kind::Word {
            return self.expected("a type");
        }
        match Type::from_name(self.text(token)) {
            Some(ty) => {
                self.at += 1;
                Ok(ty)
            }
            None => self.error_at(
                token,
                format!("unknown type `{}`", shortened(self.text(token))),
            ),
        }
    }

    /// An integer between these bounds, decimal or `0x` hexadecimal.
    pub fn integer(&mut self, least: i128, most: i128) -> Result<i128, Error> {
        let first = self.peek();
        let negative = self.take_mark(b'-');
        let token = self.peek();
        let text = self.text(token);
        if token.kind != Kind::Word || !text.starts_with(|c: char| c.is_ascii_digit()) {
            return self.expected("an integer");
        }
        let (digits, radix) = match text.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None => (text, 10),
        };
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            let message = format!("`{}` is not an integer", shortened(text));
            return self.error_at(token, message);
        }
        // What does not even fit here is out of every range.
        let magnitude = i128::from_str_radix(digits, radix).ok();
        let value = magnitude.map(|m| if negative { -m } else { m });
        match value {
            Some(value) if (least..=most).contains(&value) => {
                self.at += 1;
                Ok(value)
            }
            _ => {
                let sign = if negative { "-" } else { "" };
                let text = shortened(text);
                let message = format!("{sign}{text} is out of range: {least} to {most}");
                self.error_at(first, message)
            }
        }
    }

    pub fn unsigned_32(&mut self) -> Result<u32, Error> {
        self.integer(0, i128::from(u32::MAX)).map(|n| n as u32)
    }

    pub fn unsigned_64(&mut self) -> Result<u64, Error> {
        self.integer(0, i128::from(u64::MAX)).map(|n| n as u64)
    }

    /// The bits of a literal of this type. Integers may be written signed or unsigned.
    pub fn literal(&mut self, ty: Type) -> Result<u64, Error> {
        match ty {
            Type::I32 => {
                let value = self.integer(i128::from(i32::MIN), i128::from(u32::MAX))?;
                Ok(u64::from(value as u32))
            }
            Type::I64 | Type::Ref => {
                let value = self.integer(i128::from(i64::MIN), i128::from(u64::MAX))?;
                Ok(value as u64)
            }
            Type::F32 | Type::F64 => self.float(ty),
        }
    }

    fn float(&mut self, ty: Type) -> Result<u64, Error> {
        let first = self.peek();
        let negative = self.take_mark(b'-');
        let token = self.peek();
        let text = self.text(token);
        if token.kind != Kind::Word {
            return self.expected("a float");
        }
        if text == "bits" && !negative {
            self.at += 1;
            self.mark(b':', "behind `bits`")?;
            let most = if ty == Type::F32 {
                u64::from(u32::MAX)
            } else {
                u64::MAX
            };
            return self.integer(0, i128::from(most)).map(|bits| bits as u64);
        }
        let bits = match text {
            "nan" if !negative => match ty {
                Type::F32 => u64::from(f32::NAN.to_bits()),
                _ => f64::NAN.to_bits(),
            },
            "inf" => match ty {
                Type::F32 => u64::from(f32::INFINITY.to_bits()),
                _ => f64::INFINITY.to_bits(),
            },
            _ if is_decimal(text) => {
                // Each width is parsed by itself: an f32 read as f64 would be rounded twice.
                let finite = match ty {
                    Type::F32 => text
                        .parse::<f32>()
                        .ok()
                        .filter(|number| number.is_finite())
                        .map(|number| u64::from(number.to_bits())),
                    _ => text
                        .parse::<f64>()
                        .ok()
                        .filter(|number| number.is_finite())
                        .map(f64::to_bits),
                };
                match finite {
                    Some(bits) => bits,
                    None => {
                        let message = format!("{} is out of range: write `inf`", shortened(text));
                        return self.error_at(first, message);
                    }
                }
            }
            _ => {
                let message = format!("`{}` is not a float", shortened(text));
                return self.error_at(token, message);
            }
        };
        self.at += 1;
        let sign = if negative { 1 << (ty.bits() - 1) } else { 0 };
        Ok(bits | sign)
    }

    /// The bytes of a quoted string.
    pub fn string(&mut self) -> Result<Vec<u8>, Error> {
        let token = self.next();
        let text = self.text(token);
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
        let mut bytes = Vec::with_capacity(inner.len());
        let mut rest = inner.as_bytes();
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let (escape, taken) = match rest.first() {
                Some(b'n') => (Some(b'\n'), 1),
                Some(b't') => (Some(b'\t'), 1),
                Some(b'r') => (Some(b'\r'), 1),
                Some(b'0') => (Some(0), 1),
                Some(b'\\') => (Some(b'\\'), 1),
                Some(b'"') => (Some(b'"'), 1),
                Some(b'x') => (rest.get(1..3).and_then(hex_byte), 3),
                _ => (None, 0),
            };
            let Some(byte) = escape else {
                return self.error_at(
                    token,
                    "bad escape in the string: there are \\n \\t \\r \\0 \\\\ \\\" \\xNN",
                );
            };
            bytes.push(byte);
            rest = rest.get(taken..).unwrap_or(&[]);
        }
        Ok(bytes)
    }
}

/// The byte that two hexadecimal digits stand for.
pub fn hex_byte(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|d| d as u8);
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// `1`, `1.5`, `1e10`, `1.5e-10`
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(mantissa),
    };
    whole && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

/// A token's text as it is shown in a message.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or("")),
        None => text.to_string(),
    }
}
