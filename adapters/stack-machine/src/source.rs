//! A small language, compiled to bytecode in one pass.
//!
//! ```text
//!   program    = { "fn" NAME "(" [ names ] ")" block }
//!   block      = "{" { statement } "}"
//!   statement  = "let" NAME "=" expression | NAME "=" expression | postfix "[" expression "]" "=" expression
//!              | "while" expression block | "if" expression block [ "else" block ] | "return" expression | expression
//!   expression = comparisons of sums, joined by "and", "or"; sums of products; products of postfix expressions
//!   postfix    = primary { "[" expression "]" }
//!   primary    = number | string | "true" | "false" | NAME | NAME "(" [ expressions ] ")" | "(" expression ")" | "-" primary
//! ```
//!
//! `/` divides floats, `//` and `%` integers. `array(n, x)`, `len(a)` and `sqrt(x)` are built in. A string is an array of its
//! bytes. `#` begins a comment. A local lives to the end of its function. The function `main` comes first.

use crate::bytecode::{Constant, Function, Instruction, Opcode, Program, SMALL};
use crate::value::Value;
use std::collections::HashMap;
use std::fmt;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for SyntaxError {}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Integer(i64),
    Float(f64),
    Text(String),
    /// An operator or bracket.
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 22] = [
    "//", "<=", ">=", "==", "!=", "(", ")", "{", "}", "[", "]", ",", "=", "<", ">", "+", "-", "*",
    "/", "%", ";", ":",
];

/// Blocks and expressions within each other.
const MOST_NESTED: usize = 100;

/// Compiles a text. The constants are integers that it may name, if no local has the name.
///
/// # Errors
///
/// [`SyntaxError`], at the first token that does not belong.
pub fn compile(text: &str, constants: &[(&str, i32)]) -> Result<Program, SyntaxError> {
    let tokens = tokens(text)?;
    let mut names = HashMap::new();
    for pair in tokens.windows(2) {
        if let [(_, Token::Name(keyword)), (_, Token::Name(name))] = pair
            && keyword == "fn"
        {
            let index = names.len();
            names.entry(name.clone()).or_insert(index);
        }
    }
    let mut compiler = Compiler {
        tokens,
        at: 0,
        program: Program::default(),
        names,
        arities: HashMap::new(),
        constants,
        calls: Vec::new(),
        locals: HashMap::new(),
        nested: 0,
    };
    while compiler.peek() != &Token::End {
        compiler.function()?;
    }
    for (line, function, count) in std::mem::take(&mut compiler.calls) {
        if compiler.arities.get(&function) != Some(&count) {
            let what =
                "a call has another number of arguments than the function has parameters".into();
            return Err(SyntaxError { line, what });
        }
    }
    Ok(compiler.program)
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let mut rest = text.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            let (token, length) = token(rest).map_err(|what| SyntaxError { line, what })?;
            tokens.push((line, token));
            rest = rest[length..].trim_start();
        }
    }
    let line = text.lines().count();
    tokens.push((line, Token::End));
    Ok(tokens)
}

/// The token at the start of a text that is not empty, and its length.
fn token(text: &str) -> Result<(Token, usize), String> {
    let span = |part: fn(char) -> bool| text.find(|c| !part(c)).unwrap_or(text.len());
    let first = text.chars().next().unwrap_or(' ');
    if first.is_ascii_alphabetic() || first == '_' {
        let length = span(|c| c.is_ascii_alphanumeric() || c == '_');
        return Ok((Token::Name(text[..length].into()), length));
    }
    if first.is_ascii_digit() {
        let mut length = span(|c| c.is_ascii_alphanumeric() || c == '.');
        if text[..length].ends_with('e') && text[length..].starts_with(['-', '+']) {
            let exponent = &text[length + 1..];
            let digits = exponent.find(|c: char| !c.is_ascii_digit());
            length += 1 + digits.unwrap_or(exponent.len());
        }
        let number = &text[..length];
        let token = match (number.parse::<i64>(), number.parse::<f64>()) {
            (Ok(value), _) => Token::Integer(value),
            (_, Ok(value)) => Token::Float(value),
            _ => return Err(format!("{number} is no number")),
        };
        return Ok((token, length));
    }
    if let Some(rest) = text.strip_prefix('"') {
        let length = rest.find('"').ok_or("a string has no end")?;
        return Ok((Token::Text(rest[..length].into()), length + 2));
    }
    match SIGNS.into_iter().find(|sign| text.starts_with(sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => Err(format!("{first} means nothing here")),
    }
}

struct Compiler<'a> {
    constants: &'a [(&'a str, i32)],
    tokens: Vec<(usize, Token)>,
    at: usize,
    program: Program,
    /// Functions by name.
    names: HashMap<String, usize>,
    /// How many parameters functions have.
    arities: HashMap<usize, usize>,
    /// Calls: line, function, arguments.
    calls: Vec<(usize, usize, usize)>,
    /// Locals of the function, by name.
    locals: HashMap<String, usize>,
    nested: usize,
}

type Done = Result<(), SyntaxError>;

impl Compiler<'_> {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.at)
            .map_or(&Token::End, |(_, token)| token)
    }

    fn line(&self) -> usize {
        let at = self.at.min(self.tokens.len() - 1);
        self.tokens[at].0
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            line: self.line(),
            what: what.into(),
        })
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Takes a sign or keyword if it comes next.
    fn takes(&mut self, text: &str) -> bool {
        let found = match self.peek() {
            Token::Sign(sign) => *sign == text,
            Token::Name(name) => name == text,
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, text: &str) -> Done {
        if self.takes(text) {
            return Ok(());
        }
        let found = self.peek().clone();
        self.error(format!("{text} is missing before {found:?}"))
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => self.error(format!("a name is missing before {other:?}")),
        }
    }

    fn emit(&mut self, opcode: Opcode, operand: usize) -> usize {
        let code = &mut self.program.code;
        code.push(Instruction::new(opcode, operand as i32));
        code.len() - 1
    }

    /// Points a jump at what comes next.
    fn land(&mut self, jump: usize) {
        let target = self.program.code.len() as i32;
        let opcode = self.program.code[jump].opcode;
        self.program.code[jump] = Instruction::new(opcode, target);
    }

    fn nest<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.nested >= MOST_NESTED {
            return self.error("nested too deeply");
        }
        self.nested += 1;
        let result = step(self);
        self.nested -= 1;
        result
    }

    fn function(&mut self) -> Done {
        self.expect("fn")?;
        let name = self.name()?;
        let index = self.program.functions.len();
        if self.names.get(&name) != Some(&index) {
            return self.error(format!("there are two functions {name}"));
        }
        self.locals.clear();
        self.expect("(")?;
        while !self.takes(")") {
            let parameter = self.name()?;
            let local = self.locals.len();
            self.locals.insert(parameter, local);
            if self.peek() != &Token::Sign(")") {
                self.expect(",")?;
            }
        }
        let parameters = self.locals.len();
        self.arities.insert(index, parameters);
        let start = self.program.code.len();
        self.program.functions.push(Function {
            name,
            start,
            end: 0,
            parameters,
            locals: 0,
        });
        if !self.block()? {
            self.emit(Opcode::Integer, 0);
            self.emit(Opcode::Return, 0);
        }
        let (end, locals) = (self.program.code.len(), self.locals.len());
        let function = &mut self.program.functions[index];
        (function.end, function.locals) = (end, locals);
        Ok(())
    }

    /// True if it ends by returning.
    fn block(&mut self) -> Result<bool, SyntaxError> {
        self.nest(|c| {
            c.expect("{")?;
            let mut returns = false;
            while !c.takes("}") {
                if returns {
                    return c.error("nothing is done behind a return");
                }
                returns = c.statement()?;
            }
            Ok(returns)
        })
    }

    fn statement(&mut self) -> Result<bool, SyntaxError> {
        if self.takes("let") {
            let name = self.name()?;
            self.expect("=")?;
            self.expression()?;
            let fresh = self.locals.len();
            let local = *self.locals.entry(name).or_insert(fresh);
            self.emit(Opcode::Store, local);
        } else if self.takes("while") {
            let head = self.program.code.len();
            let index = self.program.loops.len();
            self.program.loops.push(head);
            self.expression()?;
            let out = self.emit(Opcode::JumpIfFalse, 0);
            if !self.block()? {
                self.emit(Opcode::Loop, index);
            }
            self.land(out);
        } else if self.takes("if") {
            self.expression()?;
            let out = self.emit(Opcode::JumpIfFalse, 0);
            let returns = self.block()?;
            if self.takes("else") {
                let over = (!returns).then(|| self.emit(Opcode::Jump, 0));
                self.land(out);
                let both = self.block()? && returns;
                if let Some(over) = over {
                    self.land(over);
                }
                return Ok(both);
            }
            self.land(out);
        } else if self.takes("return") {
            self.expression()?;
            self.emit(Opcode::Return, 0);
            return Ok(true);
        } else {
            self.assignment()?;
        }
        Ok(false)
    }

    fn assignment(&mut self) -> Done {
        let start = self.program.code.len();
        let line = self.line();
        self.expression()?;
        if !self.takes("=") {
            self.emit(Opcode::Pop, 0);
            return Ok(());
        }
        // What was read is what is to be written.
        let target = self.program.code.pop();
        match target.map(|target| (target.opcode, target.operand())) {
            Some((Opcode::Load, local)) if self.program.code.len() == start => {
                self.expression()?;
                self.emit(Opcode::Store, local);
            }
            Some((Opcode::GetElement, _)) => {
                self.expression()?;
                self.emit(Opcode::SetElement, 0);
            }
            _ => {
                let what = "nothing can be assigned to this".into();
                return Err(SyntaxError { line, what });
            }
        }
        Ok(())
    }

    fn expression(&mut self) -> Done {
        self.nest(|c| {
            c.conjunction()?;
            while c.takes("or") {
                let other = c.emit(Opcode::JumpIfFalse, 0);
                c.emit(Opcode::Boolean, 1);
                let over = c.emit(Opcode::Jump, 0);
                c.land(other);
                c.conjunction()?;
                c.land(over);
            }
            Ok(())
        })
    }

    fn conjunction(&mut self) -> Done {
        self.comparison()?;
        while self.takes("and") {
            let not = self.emit(Opcode::JumpIfFalse, 0);
            self.comparison()?;
            let over = self.emit(Opcode::Jump, 0);
            self.land(not);
            self.emit(Opcode::Boolean, 0);
            self.land(over);
        }
        Ok(())
    }

    fn comparison(&mut self) -> Done {
        self.sum()?;
        let opcode = match self.peek() {
            Token::Sign("<") => Opcode::Less,
            Token::Sign("<=") => Opcode::LessEqual,
            Token::Sign("==") => Opcode::Equal,
            Token::Sign("!=") => Opcode::NotEqual,
            Token::Sign(">" | ">=") => return self.error("write a comparison with < or <="),
            _ => return Ok(()),
        };
        self.at += 1;
        self.sum()?;
        self.emit(opcode, 0);
        Ok(())
    }

    fn sum(&mut self) -> Done {
        self.product()?;
        loop {
            let opcode = match self.peek() {
                Token::Sign("+") => Opcode::Add,
                Token::Sign("-") => Opcode::Subtract,
                _ => return Ok(()),
            };
            self.at += 1;
            self.product()?;
            self.emit(opcode, 0);
        }
    }

    fn product(&mut self) -> Done {
        self.postfix()?;
        loop {
            let opcode = match self.peek() {
                Token::Sign("*") => Opcode::Multiply,
                Token::Sign("/") => Opcode::Divide,
                Token::Sign("//") => Opcode::Quotient,
                Token::Sign("%") => Opcode::Remainder,
                _ => return Ok(()),
            };
            self.at += 1;
            self.postfix()?;
            self.emit(opcode, 0);
        }
    }

    fn postfix(&mut self) -> Done {
        self.primary()?;
        while self.takes("[") {
            self.expression()?;
            self.expect("]")?;
            self.emit(Opcode::GetElement, 0);
        }
        Ok(())
    }

    fn primary(&mut self) -> Done {
        match self.next() {
            Token::Integer(value) => self.integer(value),
            Token::Float(value) => self.constant(Constant::Value(Value::float(value))),
            Token::Text(text) => self.constant(Constant::Text(text)),
            Token::Sign("(") => {
                self.expression()?;
                self.expect(")")
            }
            Token::Sign("-") => match self.next() {
                Token::Integer(value) => self.integer(-value),
                Token::Float(value) => self.constant(Constant::Value(Value::float(-value))),
                _ => self.error("a number is missing behind -"),
            },
            Token::Name(name) if name == "true" || name == "false" => {
                self.emit(Opcode::Boolean, usize::from(name == "true"));
                Ok(())
            }
            Token::Name(name) if self.takes("(") => self.call(&name),
            Token::Name(name) => match self.locals.get(&name) {
                Some(&local) => {
                    self.emit(Opcode::Load, local);
                    Ok(())
                }
                None => match self.constants.iter().find(|(known, _)| *known == name) {
                    Some(&(_, value)) => self.integer(i64::from(value)),
                    None => self.error(format!("there is no local {name}")),
                },
            },
            other => self.error(format!("a value is missing before {other:?}")),
        }
    }

    fn integer(&mut self, value: i64) -> Done {
        match i32::try_from(value) {
            Ok(value) if SMALL.contains(&value) => {
                let code = &mut self.program.code;
                code.push(Instruction::new(Opcode::Integer, value));
                Ok(())
            }
            Ok(value) => self.constant(Constant::Value(Value::integer(value))),
            Err(_) => self.error("an integer has 32 bits"),
        }
    }

    fn constant(&mut self, constant: Constant) -> Done {
        let known = self.program.constants.iter().position(|c| *c == constant);
        let index = known.unwrap_or(self.program.constants.len());
        if known.is_none() {
            self.program.constants.push(constant);
        }
        self.emit(Opcode::Constant, index);
        Ok(())
    }

    fn call(&mut self, name: &str) -> Done {
        let line = self.line();
        let mut count = 0;
        while !self.takes(")") {
            self.expression()?;
            count += 1;
            if self.peek() != &Token::Sign(")") {
                self.expect(",")?;
            }
        }
        let (opcode, operand) = match (name, count) {
            ("array", 2) => (Opcode::NewArray, 0),
            ("len", 1) => (Opcode::Length, 0),
            ("sqrt", 1) => (Opcode::SquareRoot, 0),
            _ => match self.names.get(name) {
                Some(&function) => {
                    self.calls.push((line, function, count));
                    (Opcode::Call, function)
                }
                None => return self.error(format!("there is no function {name}")),
            },
        };
        self.emit(opcode, operand);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytecode::Checked;

    #[test]
    fn programs_that_compile_pass_the_check() {
        let text = "
            fn main() {
                let s = 0
                let i = 0
                while i < 10 and s != 100 or false {
                    if i % 2 == 0 { s = s + f(i, 2.5) } else { s = s - 1 }
                    i = i + 1
                }
                let a = array(3, \"text\")
                a[1] = (4 + i) * -3
                a[2][0] = 7
                return a[1]
            }
            fn f(x, y) { if x < 0 { return y } return sqrt(x) * y }
            fn g() { f(1, 2) }
        ";
        let checked = Checked::new(compile(text, &[]).unwrap()).unwrap();
        assert_eq!(checked.program.functions.len(), 3);
    }

    #[test]
    fn what_does_not_belong_is_named_with_its_line() {
        for (text, line, what) in [
            ("fn main() { x = 1 }", 1, "there is no local x"),
            ("fn main() {\n f(1) }", 2, "there is no function f"),
            ("fn main() { main(1) }", 1, "a call has another number"),
            ("fn main() { let x = $ }", 1, "$ means nothing here"),
            ("fn main() { 1 + 2 = 3 }", 1, "nothing can be assigned"),
            ("fn main() { let x = 3000000000 }", 1, "32 bits"),
            ("fn main() { return 1 return 2 }", 1, "behind a return"),
            ("fn main() { let x = 1\n", 2, "missing"),
            ("fn main() {} fn main() {}", 1, "two functions"),
        ] {
            let error = compile(text, &[]).unwrap_err();
            assert!(error.what.contains(what), "{text}: {error}");
            assert!(error.line <= line, "{text}: {error}");
        }
        let deep = format!(
            "fn main() {{ return {}1{} }}",
            "(".repeat(5000),
            ")".repeat(5000)
        );
        assert!(compile(&deep, &[]).unwrap_err().what.contains("nested"));
    }
}
